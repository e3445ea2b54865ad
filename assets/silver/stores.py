"""Stores: their latest known state."""

from aquifer.contract import Contract, Date, Field, Key, hours, table
from aquifer.silver import mirror
from assets.bronze.stores import stores as bronze_stores
from assets.silver.reserved import RESERVED


class Store(Contract):
    """One row a store."""

    store_id: str = Key(notin=RESERVED, description="store number")
    name: str = Field(description="name of the store")
    city: str = Field(description="city")
    country: str = Field(description="country")
    opened_on: Date = Field(description="day of opening")

    class Config:
        metadata = table(owner="team:stores", grain="a store", fresh_within=hours(26))


stores = mirror("stores", Store, reads=bronze_stores)
