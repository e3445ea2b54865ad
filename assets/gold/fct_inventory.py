"""Stock on hand at the end of each day."""

from aquifer.contract import Contract, Date, Field, Key, hours, references, table


class FctInventory(Contract):
    """One row a day, store and product, from its first movement on."""

    day: Date = Key()
    store_id: str = Key()
    stock_code: str = Key()
    date_key: int = Field(metadata=references("gold.dim_date.date_key"))
    store_key: str = Field(metadata=references("gold.dim_store.store_key"))
    product_key: str = Field(metadata=references("gold.dim_product.product_key"))
    on_hand: int = Field(description="pieces; negative where more left than came")

    class Config:
        metadata = table(
            owner="team:stores", grain="a product in a store on a day", fresh_within=hours(26)
        )
