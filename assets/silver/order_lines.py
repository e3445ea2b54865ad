"""Order lines: what was ordered."""

from aquifer.contract import Contract, Field, Key, Money, hours, table
from aquifer.silver import mirror
from assets.bronze.order_lines import order_lines as bronze_order_lines


class OrderLine(Contract):
    """One row a line of an order."""

    order_line_id: str = Key(description="key of the line in the order database")
    order_id: str = Field(description="order number")
    line_no: int = Field(ge=1, description="place in the order, from 1")
    sku: str = Field(description="stock code of the product")
    quantity: int = Field(gt=0, description="pieces")
    unit_price: Money = Field(ge=0, description="GBP a piece")

    class Config:
        metadata = table(
            owner="team:orders",
            grain="a line of an order",
            fresh_within=hours(26),
            # What an amount of money can hold: see `Money`.
            rules={"amount_is_money": "quantity * unit_price < 100000000000000"},
        )


order_lines = mirror("order_lines", OrderLine, reads=bronze_order_lines)
