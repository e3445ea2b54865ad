"""Customers over time: name, place and loyalty tier, as they were."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table


class DimCustomer(Contract):
    """One version of a customer; a customer seen only in invoices has unknown attributes."""

    customer_key: str = Key()
    customer_id: str = Field(str_matches=r"^([0-9]+|unknown)$", metadata=pii("customer"))
    name: str | None = Field(metadata=pii("name"))
    city: str | None
    country: str | None
    tier: str | None = Field(isin=["bronze", "silver", "gold", "platinum"])
    valid_from: Timestamp = Field(description="first instant; the earliest version begins in 1900")
    valid_to: Timestamp = Field(description="first instant after; 9999-12-31 while open")
    is_current: bool
    is_deleted: bool

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a version of a customer",
            fresh_within=hours(26),
            versions_of="customer_id",
        )
