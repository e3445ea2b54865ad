"""Sales: product lines sold or returned."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, pii, references, table


class FctSales(Contract):
    """One line of a sale or return; it points at the dimension rows valid at its time."""

    sale_line_id: str = Key(
        description="`line_id` of the invoice line; of a till's, event id and number of the line"
    )
    channel: str = Field(isin=["online", "store"], description="online or store")
    line_type: str = Field(isin=["sale", "return"], description="sale or return")
    sold_at: Timestamp = Field(description="instant of the invoice or, by its clock, of the till")
    sent_at: Timestamp | None = Field(
        description="instant at which the till was to send it; null for online sales"
    )
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
    invoice_no: str = Field(description="invoice number, C cancels; of a till's, its event id")
    stock_code: str = Field(description="stock code, trimmed and in upper case")
    customer_id: str | None = Field(
        metadata=pii("customer"), description="customer number; null where it is not known"
    )
    country: str = Field(description="country of the invoice or of the store")
    quantity: int = Field(ne=0, description="pieces; negative when they come back")
    unit_price: Money = Field(ge=0, description="GBP a piece, all places kept")
    discount: Money = Field(ge=0, description="GBP off the line; 0 for online sales")
    net_amount: Money = Field(description="quantity x unit_price - discount, GBP")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a line of a sale or return",
            fresh_within=hours(26),
            partition_by="sold_at",
            cluster_by=("stock_code", "customer_id"),
        )
