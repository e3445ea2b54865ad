"""Stock movements: what came into and left a store."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table
from aquifer.merge import Latest
from aquifer.silver import mirror
from assets.bronze.stock_movements import stock_movements as bronze_stock_movements
from assets.silver.reserved import RESERVED


class StockMovement(Contract):
    """One row a movement."""

    movement_id: str = Key(description="key of the movement")
    store_id: str = Field(notin=RESERVED, description="store whose stock it changes")
    sku: str = Field(notin=RESERVED, description="stock code of the product")
    quantity: int = Field(ne=0, description="pieces; negative when they leave")
    kind: str = Field(
        isin=["receipt", "shipment", "adjustment"], description="receipt, shipment or adjustment"
    )
    moved_at: Timestamp = Field(description="instant of the movement, UTC")

    class Config:
        metadata = table(owner="team:stores", grain="a movement", fresh_within=hours(26))


# A movement that is moved to another day leaves snapshots behind that counted on it before.
stock_movements = mirror(
    "stock_movements",
    StockMovement,
    reads=bronze_stock_movements,
    policy=Latest(earliest="moved_at"),
)
