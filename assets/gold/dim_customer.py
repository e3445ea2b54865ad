"""Customers over time: name, place and loyalty tier, as they were."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table


class DimCustomer(Contract):
    """One version of a customer; a customer seen only in invoices has unknown attributes."""

    customer_key: str = Key(description="hash of customer and valid_from")
    customer_id: str = Field(
        str_matches=r"^([0-9]+|unknown)$",
        metadata=pii("customer"),
        description="customer number; `unknown` stands for a blank one",
    )
    name: str | None = Field(metadata=pii("name"), description="full name")
    city: str | None = Field(description="city")
    country: str | None = Field(description="country")
    tier: str | None = Field(
        isin=["bronze", "silver", "gold", "platinum"], description="loyalty tier"
    )
    valid_from: Timestamp = Field(description="first instant; the earliest version begins in 1900")
    valid_to: Timestamp = Field(description="first instant after; 9999-12-31 while open")
    is_current: bool = Field(description="whether it is the open version")
    is_deleted: bool = Field(
        description="whether the source had deleted the row while the version holds"
    )

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a version of a customer",
            fresh_within=hours(26),
            versions_of="customer_id",
        )
