"""Sales: product lines sold or returned."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, pii, references, table


class FctSales(Contract):
    """One line of a sale or return; it points at the dimension rows valid at its time."""

    sale_line_id: str = Key(description="`line_id` of the invoice line")
    channel: str = Field(isin=["online", "store"], description="online or store")
    line_type: str = Field(isin=["sale", "return"], description="sale or return")
    sold_at: Timestamp = Field(description="instant of the invoice, UTC")
    date_key: int = Field(
        metadata=references("gold.dim_date.date_key"),
        description="day as yyyymmdd (`dim_date`); -1 is the unknown day",
    )
    customer_key: str = Field(
        metadata=references("gold.dim_customer.customer_key"),
        description="version of the customer at the time of the sale",
    )
    product_key: str = Field(
        metadata=references("gold.dim_product.product_key"), description="product (`dim_product`)"
    )
    geography_key: str = Field(
        metadata=references("gold.dim_geography.geography_key"),
        description="version of the country at the time of the sale",
    )
    store_key: str = Field(
        metadata=references("gold.dim_store.store_key"),
        description="version of the store; the unknown one for online sales",
    )
    invoice_no: str = Field(description="invoice number; C cancels")
    stock_code: str = Field(description="stock code, trimmed and in upper case")
    customer_id: str | None = Field(
        metadata=pii("customer"), description="customer number; null where blank"
    )
    country: str = Field(description="country of the invoice")
    quantity: int = Field(ne=0, description="pieces; negative when they come back")
    unit_price: Money = Field(ge=0, description="GBP a piece, all places kept")
    net_amount: Money = Field(description="quantity x unit_price, GBP")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a line of a sale or return",
            fresh_within=hours(26),
            partition_by="sold_at",
            cluster_by=("stock_code", "customer_id"),
        )
