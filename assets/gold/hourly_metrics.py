"""Sales by hour and country, with basket values."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table


class HourlyMetrics(Contract):
    """One hour of a country. A basket is the net of an invoice, sales only."""

    hour: Timestamp = Key()
    country: str = Key()
    invoices: int = Field(ge=0)
    revenue: Money
    mean_basket: Money | None = Field(ge=0)
    p95_basket: Money | None = Field(ge=0, description="exact, interpolated")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="an hour of a country",
            fresh_within=hours(26),
        )
