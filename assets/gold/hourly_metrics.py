"""Sales by hour and country, with basket values."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table


class HourlyMetrics(Contract):
    """One hour of a country. A basket is the net of an invoice, sales only."""

    hour: Timestamp = Key(description="beginning of the hour, UTC")
    country: str = Key(description="country of the invoices")
    invoices: int = Field(ge=0, description="invoices with a sale")
    revenue: Money = Field(description="net of sale and return lines, GBP")
    mean_basket: Money | None = Field(ge=0, description="mean basket, GBP")
    p95_basket: Money | None = Field(ge=0, description="exact, interpolated")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="an hour of a country",
            fresh_within=hours(26),
        )
