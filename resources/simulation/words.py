"""Words and lists that the simulation draws from; people and streets are made up."""

from datetime import UTC, datetime

FIRST_NAMES = [
    "Ada",
    "Amir",
    "Beth",
    "Carlo",
    "Dana",
    "Edwin",
    "Farah",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Kira",
    "Liam",
    "Mona",
    "Nils",
    "Olga",
    "Pavel",
    "Quinn",
    "Rosa",
    "Samir",
    "Tess",
    "Umar",
    "Vera",
    "Willa",
    "Yusuf",
    "Zoe",
]
LAST_NAMES = [
    "Abbott",
    "Barlow",
    "Castell",
    "Dunmore",
    "Everard",
    "Fenwick",
    "Garside",
    "Holloway",
    "Ibsen",
    "Jardine",
    "Kestrel",
    "Lomax",
    "Marlow",
    "Norcott",
    "Oakham",
    "Penrose",
    "Quill",
    "Radley",
    "Selwyn",
    "Thorne",
    "Upton",
    "Vickers",
    "Wexford",
    "Yardley",
]
STREETS = [
    "Mill Lane",
    "Harbour Street",
    "Orchard Road",
    "Station Road",
    "Castle Street",
    "Elm Grove",
    "Market Place",
    "Chapel Hill",
    "Kings Parade",
    "Riverside",
]

CITIES = {
    "United Kingdom": ["London", "Leeds", "Bristol", "Glasgow", "Cardiff", "Norwich", "York"],
    "Germany": ["Berlin", "Hamburg", "Leipzig"],
    "France": ["Paris", "Lyon", "Nantes"],
    "EIRE": ["Dublin", "Cork"],
    "Spain": ["Madrid", "Bilbao"],
    "Netherlands": ["Utrecht", "Rotterdam"],
}
COUNTRY_WEIGHTS = [88, 4, 3, 2, 2, 1]

STORES = [
    ("S01", "London", "United Kingdom"),
    ("S02", "Leeds", "United Kingdom"),
    ("S03", "Bristol", "United Kingdom"),
    ("S04", "Glasgow", "United Kingdom"),
    ("S05", "Cardiff", "United Kingdom"),
    ("S06", "Norwich", "United Kingdom"),
    ("S07", "York", "United Kingdom"),
    ("S08", "Dublin", "EIRE"),
    ("S09", "Hamburg", "Germany"),
    ("S10", "Paris", "France"),
    ("S11", "Utrecht", "Netherlands"),
    ("S12", "Madrid", "Spain"),
]
"""Store, city, country."""

CATEGORIES = {
    "Kitchen": ["Mug", "Tea towel", "Cake stand", "Jug", "Lunch box"],
    "Garden": ["Plant pot", "Bird feeder", "Lantern", "Watering can"],
    "Stationery": ["Card", "Gift wrap", "Notebook", "Ribbon"],
    "Decoration": ["Bunting", "Candle holder", "Frame", "Heart", "Wreath"],
    "Toys": ["Jigsaw", "Skittles", "Doll", "Spinning top"],
    "Accessories": ["Bag", "Purse", "Umbrella", "Bracelet"],
}

REGIONS = {
    **dict.fromkeys(["United Kingdom", "EIRE", "Channel Islands"], "British Isles"),
    **dict.fromkeys(["Germany", "Austria", "Switzerland"], "Central Europe"),
    **dict.fromkeys(["Poland", "Czech Republic", "Lithuania"], "Eastern Europe"),
    **dict.fromkeys(["France", "Belgium", "Netherlands"], "Western Europe"),
    **dict.fromkeys(["Norway", "Sweden", "Denmark", "Finland", "Iceland"], "Nordics"),
    **dict.fromkeys(["Spain", "Portugal", "Italy", "Greece", "Malta", "Cyprus"], "Southern Europe"),
    **dict.fromkeys(
        ["Israel", "Lebanon", "Bahrain", "Saudi Arabia", "United Arab Emirates"], "Middle East"
    ),
    **dict.fromkeys(["Japan", "Hong Kong", "Singapore", "Australia"], "Asia Pacific"),
    **dict.fromkeys(["USA", "Canada", "Brazil"], "Americas"),
}

REORGANISATIONS = [
    (datetime(2011, 1, 17, 9, tzinfo=UTC), "Channel Islands", "Western Europe"),
    (datetime(2011, 4, 1, 9, tzinfo=UTC), "EIRE", "Western Europe"),
    (datetime(2011, 7, 4, 9, tzinfo=UTC), "Poland", "Central Europe"),
    (datetime(2011, 10, 3, 9, tzinfo=UTC), "Cyprus", "Middle East"),
]
"""Instant, country, new region."""
