"""Countries over time, with the sales region that they belong to."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table


class DimGeography(Contract):
    """One version of a country; a country seen only in invoices has no region."""

    geography_key: str = Key(description="hash of country and valid_from")
    country: str = Field(description="country; `unknown` stands for none")
    region: str | None = Field(description="sales region")
    valid_from: Timestamp = Field(description="first instant; the earliest version begins in 1900")
    valid_to: Timestamp = Field(description="first instant after; 9999-12-31 while open")
    is_current: bool = Field(description="whether it is the open version")
    is_deleted: bool = Field(
        description="whether the source had deleted the row while the version holds"
    )

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a version of a country",
            fresh_within=hours(26),
            versions_of="country",
        )
