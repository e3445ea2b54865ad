"""Stock on hand at the end of each day."""

from aquifer.contract import Contract, Date, Field, Key, hours, references, table


class FctInventory(Contract):
    """One row a day, store and product, from its first movement on."""

    day: Date = Key(description="day, UTC")
    store_id: str = Key(description="store number")
    stock_code: str = Key(description="stock code, trimmed and in upper case")
    date_key: int = Field(
        metadata=references("gold.dim_date.date_key"),
        description="day as yyyymmdd (`dim_date`); -1 is the unknown day",
    )
    store_key: str = Field(
        metadata=references("gold.dim_store.store_key"),
        description="version of the store at the end of the day",
    )
    product_key: str = Field(
        metadata=references("gold.dim_product.product_key"), description="product (`dim_product`)"
    )
    on_hand: int = Field(description="pieces; negative where more left than came")

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a product in a store on a day",
            fresh_within=hours(26),
            cluster_by=("store_id", "stock_code"),
        )
