"""Order lines: what was ordered."""

from aquifer.contract import Contract, Field, Key, Money, hours, table
from aquifer.silver import mirror
from assets.bronze.order_lines import order_lines as bronze_order_lines


class OrderLine(Contract):
    """One row a line of an order."""

    order_line_id: str = Key()
    order_id: str
    line_no: int = Field(ge=1)
    sku: str
    quantity: int = Field(gt=0)
    unit_price: Money = Field(ge=0)

    class Config:
        metadata = table(
            owner="team:orders",
            grain="a line of an order",
            fresh_within=hours(26),
            # What an amount of money can hold: see `Money`.
            rules={"amount_is_money": "quantity * unit_price < 100000000000000"},
        )


order_lines = mirror("order_lines", OrderLine, reads=bronze_order_lines)
