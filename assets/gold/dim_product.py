"""Products as they are called and priced now."""

from aquifer.contract import Contract, Field, Key, Money, hours, table


class DimProduct(Contract):
    """One row a stock code. The description is that of the latest sale."""

    product_key: str = Key()
    stock_code: str
    description: str | None
    category: str | None
    list_price: Money | None = Field(ge=0)
    cost: Money | None = Field(ge=0)

    class Config:
        metadata = table(owner="team:products", grain="a product", fresh_within=hours(26))
