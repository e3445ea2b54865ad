"""Orders of the web shop over their life cycle."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, references, table


class FctOrders(Contract):
    """One order with the instants of its milestones; it is updated as the order moves on."""

    order_id: str = Key()
    status: str = Field(isin=["placed", "paid", "shipped", "delivered", "cancelled"])
    customer_key: str = Field(metadata=references("gold.dim_customer.customer_key"))
    store_key: str = Field(metadata=references("gold.dim_store.store_key"))
    date_key: int = Field(metadata=references("gold.dim_date.date_key"))
    placed_at: Timestamp
    paid_at: Timestamp | None
    shipped_at: Timestamp | None
    delivered_at: Timestamp | None
    cancelled_at: Timestamp | None
    hours_to_pay: Money | None
    hours_to_ship: Money | None
    hours_to_deliver: Money | None
    lines: int = Field(ge=0)
    quantity: int = Field(ge=0)
    gross_amount: Money = Field(ge=0)

    class Config:
        metadata = table(owner="team:orders", grain="an order", fresh_within=hours(26))
