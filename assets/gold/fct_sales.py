"""Sales: product lines sold or returned."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, pii, references, table


class FctSales(Contract):
    """One line of a sale or return; it points at the dimension rows valid at its time."""

    sale_line_id: str = Key()
    channel: str = Field(isin=["online", "store"])
    line_type: str = Field(isin=["sale", "return"])
    sold_at: Timestamp
    date_key: int = Field(metadata=references("gold.dim_date.date_key"))
    customer_key: str = Field(metadata=references("gold.dim_customer.customer_key"))
    product_key: str = Field(metadata=references("gold.dim_product.product_key"))
    geography_key: str = Field(metadata=references("gold.dim_geography.geography_key"))
    store_key: str = Field(metadata=references("gold.dim_store.store_key"))
    invoice_no: str
    stock_code: str
    customer_id: str | None = Field(metadata=pii("customer"))
    country: str
    quantity: int = Field(ne=0)
    unit_price: Money = Field(ge=0)
    net_amount: Money = Field(description="quantity x unit_price, GBP")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a line of a sale or return",
            fresh_within=hours(26),
            partition_by="sold_at",
            cluster_by=("stock_code", "customer_id"),
        )
