"""Stores over time."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table


class DimStore(Contract):
    """One version of a store."""

    store_key: str = Key()
    store_id: str
    name: str | None
    city: str | None
    country: str | None
    valid_from: Timestamp = Field(description="first instant; the earliest version begins in 1900")
    valid_to: Timestamp = Field(description="first instant after; 9999-12-31 while open")
    is_current: bool
    is_deleted: bool

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a version of a store",
            fresh_within=hours(26),
            versions_of="store_id",
        )
