"""Products as they are called and priced now."""

from aquifer.contract import Contract, Field, Key, Money, hours, table


class DimProduct(Contract):
    """One row a stock code. The description is that of the latest sale."""

    product_key: str = Key(description="hash of the stock code")
    stock_code: str = Field(description="stock code; `unknown` stands for none")
    description: str | None = Field(description="what the product is called: on its latest sale")
    category: str | None = Field(description="product category")
    list_price: Money | None = Field(ge=0, description="list price, GBP")
    cost: Money | None = Field(ge=0, description="cost of a piece, GBP")

    class Config:
        metadata = table(owner="team:products", grain="a product", fresh_within=hours(26))
