"""Customers at a glance: recency, frequency, monetary value and tier."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, pii, table


class Customer360(Contract):
    """One customer who has bought something."""

    customer_id: str = Key(
        str_matches=r"^([0-9]+|unknown)$",
        metadata=pii("customer"),
        description="customer number, the one business key of a customer",
    )
    country: str | None = Field(description="country of the customer's open version")
    tier: str | None = Field(description="loyalty tier of the customer's open version")
    first_sale_at: Timestamp = Field(description="instant of the first sale, UTC")
    last_sale_at: Timestamp = Field(description="instant of the latest sale, UTC")
    recency_days: int = Field(ge=0, description="days from the last sale to the latest of all")
    frequency: int = Field(ge=1, description="invoices with a sale")
    monetary: Money = Field(description="revenue, GBP")
    returned: Money = Field(description="net of return lines, GBP")

    class Config:
        metadata = table(owner="team:sales", grain="a customer", fresh_within=hours(26))
