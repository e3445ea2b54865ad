"""Customer segments: what kind of customer one is, by how recently, often and for how much."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aquifer.contract import Contract, Field, Key, days, pii, table
from aquifer.models.model import Prediction, Split
from aquifer.models.segmenter import Segmenter
from assets.features.customer_behaviour import customer_behaviour

if TYPE_CHECKING:
    import numpy as np

    from aquifer.models.evaluation import Floats

SEGMENTS = ["champions", "regular", "recent", "lost"]


class CustomerSegment(Prediction, Contract):
    """The segment of a customer who has bought in the last year.

    Of the two segments of greater value, by frequency and money, the more recent one are
    `champions` and the other `regular`; of the others `recent` and `lost`.
    """

    customer_id: str = Key(metadata=pii("customer"), description="customer number")
    segment: str = Field(isin=SEGMENTS, description="what customers are called who are alike")
    distance: float = Field(ge=0, description="from the segment's centre, in standard deviations")

    class Config:
        metadata = table(owner="team:ml", grain="a customer", fresh_within=days(2))


EXAMPLES = """
    select customer_id, event_time
    from customer_behaviour join (
        select add_months(max(day), -12) as since, date_add(min(day), 90) as known from
        customer_behaviour
    )
    where day = last_day(day) and day > since and day >= known
"""
"""Customers at the ends of the last twelve months, once three months of history are known."""


def by_value_then_recency(centres: "Floats") -> Sequence[str]:
    """The segment that each of four centres is."""
    import numpy as np

    recency, frequency, money = np.asarray(centres).T
    by_value = np.argsort(-(frequency + money), kind="stable")
    names = np.empty(len(SEGMENTS), dtype=object)
    for half, pair in ((by_value[:2], SEGMENTS[:2]), (by_value[2:], SEGMENTS[2:])):
        names[half[np.argsort(recency[half], kind="stable")]] = pair
    return list(names)


def rfm_cells(known: "Floats", asked: "Floats") -> "np.ndarray":
    """The classic cells: halves by recency, and halves by the mean of the ranks of the others."""
    import numpy as np

    def ranks(column: int) -> "Floats":
        return np.searchsorted(np.sort(known[:, column]), asked[:, column]) / len(known)

    recent = ranks(0) < 0.5
    valuable = (ranks(1) + ranks(2)) / 2 >= 0.5
    return np.where(valuable, np.where(recent, 0, 1), np.where(recent, 2, 3))


customer_segments = Segmenter(
    name="customer_segments",
    contract=CustomerSegment,
    examples=EXAMPLES,
    tables=["features.customer_behaviour"],
    features={customer_behaviour: ["recency_days", "invoices_365d", "net_365d"]},
    split=Split(horizon=days(0), holdout=days(28)),
    segments=SEGMENTS,
    naming=by_value_then_recency,
    cells=rfm_cells,
)
