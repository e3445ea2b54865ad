"""Member behaviour: what is bought with a card on a day, how it is paid and what is let off."""

from aquifer.contract import Contract, Field, Key, hours, pii, table
from aquifer.features.view import FeatureRow, feature_view
from assets.features.till_behaviour import till_behaviour
from assets.silver.pos_events import pos_events
from assets.silver.products import products


class MemberBehaviour(FeatureRow, Contract):
    """A member with an event on a day. Rates are null where there is nothing to divide by."""

    member_id: str = Key(metadata=pii("customer"), description="customer number on the card")
    member_events: int = Field(ge=1, description="events")
    member_markdown: float | None = Field(description="mean share let off a sale's price")
    member_voucher_rate: float | None = Field(ge=0, description="sales paid by voucher, a sale")
    member_pieces: float | None = Field(ge=0, description="pieces a sale")

    class Config:
        metadata = table(owner="team:ml", grain="a member and day", fresh_within=hours(26))


@feature_view(
    MemberBehaviour,
    reads={pos_events: "event_time", products: None},
    back={pos_events: 1},
    lasts=2,
)
def member_behaviour() -> str:
    return till_behaviour("member_id", MemberBehaviour)
