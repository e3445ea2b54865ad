"""Orders of the web shop and where they stand in their life cycle."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import mirror
from assets.bronze.orders import orders as bronze_orders
from assets.silver.customer_number import customer_number


class Order(Contract):
    """One row an order."""

    order_id: str = Key()
    customer_id: str = Field(str_matches=r"^[0-9]+$", metadata=pii("customer"))
    store_id: str
    status: str = Field(isin=["placed", "paid", "shipped", "delivered", "cancelled"])
    placed_at: Timestamp
    paid_at: Timestamp | None
    shipped_at: Timestamp | None
    delivered_at: Timestamp | None
    cancelled_at: Timestamp | None
    currency: str = Field(str_matches=r"^[A-Z]{3}$")

    class Config:
        metadata = table(owner="team:orders", grain="an order", fresh_within=hours(26))


orders = mirror(
    "orders", Order, reads=bronze_orders, customer_id=customer_number("raw.customer_id")
)
