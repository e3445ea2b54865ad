"""Stores over time."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table


class DimStore(Contract):
    """One version of a store."""

    store_key: str = Key(description="hash of store and valid_from")
    store_id: str = Field(description="store number; `unknown` stands for none")
    name: str | None = Field(description="name of the store")
    city: str | None = Field(description="city")
    country: str | None = Field(description="country")
    valid_from: Timestamp = Field(description="first instant; the earliest version begins in 1900")
    valid_to: Timestamp = Field(description="first instant after; 9999-12-31 while open")
    is_current: bool = Field(description="whether it is the open version")
    is_deleted: bool = Field(
        description="whether the source had deleted the row while the version holds"
    )

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a version of a store",
            fresh_within=hours(26),
            versions_of="store_id",
        )
