"""Products: what they sell, bring in and cost."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table


class ProductPerformance(Contract):
    """One product that was sold or returned."""

    stock_code: str = Key(description="stock code, trimmed and in upper case")
    description: str | None = Field(description="what the product is called: on its latest sale")
    category: str | None = Field(description="product category")
    units_sold: int = Field(ge=0, description="pieces sold")
    units_returned: int = Field(description="pieces that came back")
    revenue: Money = Field(description="net of sale and return lines, GBP")
    return_rate: Money | None = Field(description="units returned for one sold")
    customers: int = Field(ge=0, description="known customers who bought or returned it")
    margin: Money | None = Field(description="revenue less cost of the net units, GBP")
    last_sold_at: Timestamp | None = Field(description="instant of the latest sale, UTC")

    class Config:
        metadata = table(owner="team:products", grain="a product", fresh_within=hours(26))
