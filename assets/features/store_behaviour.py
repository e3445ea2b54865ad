"""Store behaviour: what is rung up, taken back and let off in a store on a day."""

from aquifer.contract import Contract, Field, Key, hours, table
from aquifer.features.view import FeatureRow, feature_view
from assets.features.till_behaviour import till_behaviour
from assets.silver.pos_events import pos_events
from assets.silver.products import products


class StoreBehaviour(FeatureRow, Contract):
    """A store with an event on a day. Rates are null where there is nothing to divide by."""

    store_id: str = Key(description="store of the tills")
    store_events: int = Field(ge=1, description="events")
    store_return_rate: float | None = Field(ge=0, description="returns an event")
    store_returned: float | None = Field(description="value of returns an event, GBP")
    store_void_rate: float | None = Field(ge=0, description="voids an event")
    store_voided: float | None = Field(description="value of what was voided an event, GBP")
    store_markdown: float | None = Field(description="mean share let off a sale's price")
    store_single_rate: float | None = Field(
        ge=0, description="sales of one piece without card, a sale"
    )
    store_voucher_pieces: float | None = Field(ge=0, description="pieces paid by voucher, a sale")

    class Config:
        metadata = table(owner="team:ml", grain="a store and day", fresh_within=hours(26))


@feature_view(
    StoreBehaviour,
    reads={pos_events: "event_time", products: None},
    back={pos_events: 1},
    lasts=2,
)
def store_behaviour() -> str:
    return till_behaviour("store_id", StoreBehaviour)
