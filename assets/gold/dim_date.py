"""The calendar."""

from aquifer.contract import Contract, Date, Field, Key, hours, table


class DimDate(Contract):
    """One row a day, from 2009 to 2015."""

    date_key: int = Key(description="yyyymmdd")
    day: Date
    year: int
    quarter: int = Field(ge=1, le=4)
    month: int = Field(ge=1, le=12)
    week: int = Field(ge=1, le=53, description="ISO week")
    weekday: int = Field(ge=1, le=7, description="1 is Monday")
    is_weekend: bool

    class Config:
        metadata = table(owner="team:platform", grain="a day", fresh_within=hours(26))
