"""Orders of the web shop over their life cycle."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, references, table


class FctOrders(Contract):
    """One order with the instants of its milestones; it is updated as the order moves on."""

    order_id: str = Key(description="order number")
    status: str = Field(
        isin=["placed", "paid", "shipped", "delivered", "cancelled"],
        description="the latest of its life cycle",
    )
    customer_key: str = Field(
        metadata=references("gold.dim_customer.customer_key"),
        description="version of the customer when the order was placed",
    )
    store_key: str = Field(
        metadata=references("gold.dim_store.store_key"),
        description="version of the store when the order was placed",
    )
    date_key: int = Field(
        metadata=references("gold.dim_date.date_key"),
        description="day of the order as yyyymmdd; -1 is the unknown day",
    )
    placed_at: Timestamp = Field(description="instant of the order, UTC")
    paid_at: Timestamp | None = Field(description="instant of payment; null before")
    shipped_at: Timestamp | None = Field(description="instant of shipment; null before")
    delivered_at: Timestamp | None = Field(description="instant of delivery; null before")
    cancelled_at: Timestamp | None = Field(
        description="instant of cancellation; null while it stands"
    )
    hours_to_pay: Money | None = Field(description="hours from order to payment")
    hours_to_ship: Money | None = Field(description="hours from payment to shipment")
    hours_to_deliver: Money | None = Field(description="hours from shipment to delivery")
    lines: int = Field(ge=0, description="lines of the order")
    quantity: int = Field(ge=0, description="pieces ordered")
    gross_amount: Money = Field(ge=0, description="sum of quantity x unit_price, GBP")

    class Config:
        metadata = table(
            owner="team:orders",
            grain="an order",
            fresh_within=hours(26),
            cluster_by=("customer_key",),
        )
