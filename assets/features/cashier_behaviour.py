"""Cashier behaviour: what a cashier rings up, takes back and lets off on a day."""

from aquifer.contract import Contract, Field, Key, hours, pii, table
from aquifer.features.view import FeatureRow, feature_view
from assets.features.till_behaviour import till_behaviour
from assets.silver.pos_events import pos_events
from assets.silver.products import products


class CashierBehaviour(FeatureRow, Contract):
    """A cashier with an event on a day. Rates are null where there is nothing to divide by."""

    cashier_id: str = Key(metadata=pii("customer"), description="who was at the till")
    cashier_events: int = Field(ge=1, description="events")
    cashier_return_rate: float | None = Field(ge=0, description="returns an event")
    cashier_returned: float | None = Field(description="value of returns an event, GBP")
    cashier_void_rate: float | None = Field(ge=0, description="voids an event")
    cashier_voided: float | None = Field(description="value of what was voided an event, GBP")
    cashier_markdown: float | None = Field(description="mean share let off a sale's price")
    cashier_single_rate: float | None = Field(
        ge=0, description="sales of one piece without card, a sale"
    )
    cashier_voucher_pieces: float | None = Field(ge=0, description="pieces paid by voucher, a sale")

    class Config:
        metadata = table(owner="team:ml", grain="a cashier and day", fresh_within=hours(26))


@feature_view(
    CashierBehaviour,
    reads={pos_events: "event_time", products: None},
    back={pos_events: 1},
    lasts=2,
)
def cashier_behaviour() -> str:
    return till_behaviour("cashier_id", CashierBehaviour)
