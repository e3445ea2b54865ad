"""The calendar."""

from aquifer.contract import Contract, Date, Field, Key, hours, table


class DimDate(Contract):
    """One row a day, from 2000 to 2050, and one for the unknown day, all of it null."""

    date_key: int = Key(description="yyyymmdd; -1 is the unknown day")
    day: Date | None = Field(description="day, UTC")
    year: int | None = Field(description="calendar year")
    quarter: int | None = Field(ge=1, le=4, description="1 to 4")
    month: int | None = Field(ge=1, le=12, description="1 to 12")
    week: int | None = Field(ge=1, le=53, description="ISO week")
    weekday: int | None = Field(ge=1, le=7, description="1 is Monday")
    is_weekend: bool | None = Field(description="Saturday or Sunday")

    class Config:
        metadata = table(owner="team:platform", grain="a day", fresh_within=hours(26))
