"""Products: category, list price and cost as the order database has them.

Does not belong here: what a product is called at the till (`gold.dim_product`).
"""

from aquifer.contract import Contract, Field, Key, Money, hours, table
from aquifer.silver import mirror
from assets.bronze.products import products as bronze_products


class Product(Contract):
    """One row a SKU."""

    sku: str = Key(str_matches=r"^[0-9]{5}[A-Z]{0,2}$", description="stock code of the product")
    name: str = Field(description="name of the product")
    category: str = Field(description="product category")
    list_price: Money = Field(ge=0, description="list price, GBP")
    cost: Money = Field(ge=0, description="cost of a piece, GBP")

    class Config:
        metadata = table(owner="team:products", grain="a SKU", fresh_within=hours(26))


products = mirror("products", Product, reads=bronze_products)
