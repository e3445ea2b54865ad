"""Products: what they sell, bring in and cost."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table


class ProductPerformance(Contract):
    """One product that was sold or returned."""

    stock_code: str = Key()
    description: str | None
    category: str | None
    units_sold: int = Field(ge=0)
    units_returned: int
    revenue: Money
    return_rate: Money | None = Field(description="units returned for one sold")
    customers: int = Field(ge=0)
    margin: Money | None = Field(description="revenue less cost of the net units, GBP")
    last_sold_at: Timestamp | None

    class Config:
        metadata = table(owner="team:products", grain="a product", fresh_within=hours(26))
