"""Orders of the web shop and where they stand in their life cycle."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import mirror
from assets.bronze.orders import orders as bronze_orders
from assets.silver.customer_number import customer_number


class Order(Contract):
    """One row an order."""

    order_id: str = Key(description="order number")
    customer_id: str = Field(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number, the one business key of a customer",
    )
    store_id: str = Field(description="store that ships the order")
    status: str = Field(
        isin=["placed", "paid", "shipped", "delivered", "cancelled"],
        description="the latest of its life cycle: placed, paid, shipped, delivered, cancelled",
    )
    placed_at: Timestamp = Field(description="instant of the order, UTC")
    paid_at: Timestamp | None = Field(description="instant of payment; null before")
    shipped_at: Timestamp | None = Field(description="instant of shipment; null before")
    delivered_at: Timestamp | None = Field(description="instant of delivery; null before")
    cancelled_at: Timestamp | None = Field(
        description="instant of cancellation; null while it stands"
    )
    currency: str = Field(str_matches=r"^[A-Z]{3}$", description="ISO 4217 code")

    class Config:
        metadata = table(owner="team:orders", grain="an order", fresh_within=hours(26))


orders = mirror(
    "orders", Order, reads=bronze_orders, customer_id=customer_number("raw.customer_id")
)
