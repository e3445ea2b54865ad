"""Events of the tills as a model sees them: what each is, and what came just before it.

Belongs here: what is known at the instant of an event. Does not: what the cashier, the store and
the member are like (`till_behaviour`), which is known from the day before.

What happened in the last hours adds nothing to that: only runs of small sales at a register, which
are over within minutes, and the sale that a void takes back.
"""

from aquifer.contract import Field, Key, Record, minutes
from aquifer.features.event_features import event_features
from assets.features.receipts import RECEIPTS
from assets.silver.pos_events import pos_events
from assets.silver.products import products

BACK = minutes(15)
"""How far features look back; of a sale before that, a void tells nothing."""

RUN_SECONDS = 150


class TillEvent(Record):
    """A sale, return or void with what came just before it."""

    event_id: str = Key(description="identifies the event")
    type: str = Field(isin=["sale", "return", "void"], description="sale, return or void")
    payment: str | None = Field(
        isin=["card", "cash", "mobile", "voucher"], description="how it was paid"
    )
    hour: int = Field(ge=0, le=23, description="hour of the day, UTC")
    line_count: int = Field(ge=0, description="lines")
    quantity: int = Field(description="pieces; negative when they come back")
    gross: float = Field(description="value before discounts, GBP; negative when it comes back")
    greatest_price: float | None = Field(ge=0, description="price of the dearest piece, GBP")
    discount_share: float | None = Field(description="discount for a pound of gross")
    price_ratio: float | None = Field(
        ge=0, description="price for a pound of the list price, of the line that is furthest below"
    )
    markdown: float = Field(description="share of the price of a sale that was let off, either way")
    voided_gross: float | None = Field(description="gross of the sale or return that is voided")
    voided_after: float | None = Field(ge=0, description="seconds from that to its void")
    register_events: int = Field(
        ge=0, description="events at the register in the 150 seconds before"
    )
    register_singles: int = Field(ge=0, description="sales of one piece without a card among these")


@event_features(TillEvent, events=pos_events, looks_up=[products], back=BACK)
def till_event() -> str:
    before = (
        "over (partition by store_id, register order by at "
        f"range between {RUN_SECONDS * 1_000_000} preceding and 1 preceding)"
    )
    return f"""
    with receipts as (select *, unix_micros(event_time) as at from ({RECEIPTS})),
    run as (
        select *,
            count(*) {before} as register_events,
            coalesce(sum(single) {before}, 0) as register_singles
        from receipts
    )
    select
        r.event_id, r.type, r.payment, hour(r.event_time) as hour, r.line_count, r.quantity,
        r.gross, r.greatest_price, r.discount_share, r.price_ratio, r.markdown,
        v.gross as voided_gross, (r.at - v.at) / 1000000D as voided_after,
        r.register_events, r.register_singles
    from run r join asked a on r.event_id = a.event_id
        left join (select event_id as id, at, gross from receipts) v
            on r.voids = v.id and v.at < r.at and v.at >= r.at - {BACK.seconds * 1_000_000}
    """
