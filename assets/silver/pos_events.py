"""Events of the tills: sales, returns and voids, each with its lines."""

from aquifer.contract import Contract, Field, Key, Money, Record, Timestamp, hours, pii, table
from aquifer.silver_events import events
from assets.bronze.pos_events import pos_events as bronze_pos_events
from assets.silver.customer_number import customer_number


class PosLine(Record):
    """One line of a sale or return; its number is its place, from 1."""

    sku: str = Field(str_length={"min_value": 1}, description="stock code")
    quantity: int = Field(ne=0, description="pieces; negative when they come back")
    unit_price: Money = Field(ge=0, description="GBP a piece")
    discount: Money = Field(ge=0, description="GBP off the line")


class PosEvent(Contract):
    """One sale, return or void at a till."""

    event_id: str = Key(description="identifies the event; grows with time (UUIDv7)")
    type: str = Field(isin=["sale", "return", "void"], description="sale, return or void")
    event_time: Timestamp = Field(description="instant by the till's clock, UTC")
    sent_at: Timestamp = Field(description="instant at which the event was to be sent, UTC")
    store_id: str = Field(str_length={"min_value": 1}, description="store of the till")
    register: int = Field(ge=1, description="number of the till in the store")
    cashier_id: str = Field(metadata=pii("customer"), description="who was at the till")
    member_id: str | None = Field(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number on the card; null without one",
    )
    payment: str | None = Field(
        isin=["card", "cash", "mobile", "voucher"], description="how it was paid; null for a void"
    )
    voids: str | None = Field(description="`event_id` of the sale or return that a void takes back")
    lines: list[PosLine] | None = Field(description="what was sold or returned; null for a void")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a sale, return or void",
            fresh_within=hours(26),
            partition_by="event_time",
            quarantine_share=0.05,
            rules={
                "lines_given": "type = 'void' or coalesce(size(lines), 0) > 0",
                "void_names_event": "type <> 'void' or voids is not null",
                "sales_go_out": "type <> 'sale' or not exists(lines, l -> l.quantity < 0)",
                "returns_come_in": "type <> 'return' or not exists(lines, l -> l.quantity > 0)",
            },
        )


pos_events = events(
    "pos_events",
    PosEvent,
    reads=bronze_pos_events,
    member_id=customer_number("raw.member_id"),
)
