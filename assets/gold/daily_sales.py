"""Sales by day, country and channel."""

from aquifer.contract import Contract, Date, Field, Key, Money, hours, table


class DailySales(Contract):
    """One day of a country and channel."""

    day: Date = Key(description="day, UTC")
    country: str = Key(description="country of the invoices")
    channel: str = Key(description="online or store")
    invoices: int = Field(ge=0, description="invoices with a sale")
    lines: int = Field(ge=1, description="sale and return lines")
    units: int = Field(description="pieces sold less those that came back")
    gross_sales: Money = Field(ge=0, description="net of sale lines, GBP")
    returns: Money = Field(description="net of return lines, GBP")
    revenue: Money = Field(description="net of sale and return lines, GBP")
    eur_rate: Money | None = Field(description="latest rate on or before the day")
    revenue_eur: Money | None = Field(description="revenue at the rate of the day, EUR")

    class Config:
        metadata = table(
            owner="team:sales", grain="a day of a country and channel", fresh_within=hours(26)
        )
