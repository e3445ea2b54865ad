"""Transaction risk: how likely an event of the tills is fraud, told when it comes in."""

from typing import TYPE_CHECKING

from aquifer.contract import (
    Contract,
    Field,
    Key,
    Timestamp,
    days,
    hours,
    minutes,
    pii,
    seconds,
    table,
)
from aquifer.models.event_classifier import EventClassifier
from aquifer.models.model import Limits, Prediction, Retraining, Split
from aquifer.models.stream_scores import scores
from assets.features.cashier_behaviour import cashier_behaviour
from assets.features.member_behaviour import member_behaviour
from assets.features.store_behaviour import store_behaviour
from assets.features.till_event import till_event

if TYPE_CHECKING:
    from aquifer.models.evaluation import Floats
    from aquifer.models.training_set import Part

LONGEST_DELAY = minutes(30)
"""How long after an event the verdict on it comes, at most."""

LEARNED_DAYS = 28
MOST_EXAMPLES = 300_000

EXAMPLES = f"""
    with latest as (select max(decided_at) as at from pos_verdicts),
    found as (
        select event_id, max(case when is_fraud then 1 else 0 end) as label
        from pos_verdicts group by event_id
    ),
    known as (
        select e.*
        from pos_events e cross join latest l
        where e.event_time < l.at - interval {LONGEST_DELAY.seconds} seconds
            and e.event_time >= l.at - interval {LEARNED_DAYS} days
    ),
    evenly as (
        select * from known
        where pmod(xxhash64(event_id), 1000000) * (select count(*) from known)
            < {MOST_EXAMPLES * 1_000_000}
    )
    select
        e.event_id, e.cashier_id, e.store_id, e.member_id, e.event_time,
        coalesce(e.payment, 'none') as segment,
        coalesce(f.label, 0) as label
    from evenly e left join found f on e.event_id = f.event_id
"""
"""Events of four weeks whose verdict, if there is one, has come: all fraud is found in time.

Of more than a model can learn from in a minute, as many are taken, whatever they are: so what it
says to be likely stays as likely.
"""


class TransactionRisk(Prediction, Contract):
    """How likely an event of the tills is fraud, as far as it could be known when it came in."""

    event_id: str = Key(description="the event of the tills")
    event_time: Timestamp = Field(description="instant of the event by the till's clock, UTC")
    store_id: str = Field(description="store of the till")
    cashier_id: str = Field(metadata=pii("customer"), description="who was at the till")
    probability: float = Field(ge=0, le=1, description="of fraud")
    is_suspicious: bool = Field(description="whether it is as likely as the model raises an alert")
    scored_at: Timestamp = Field(description="instant at which it was scored, UTC")

    class Config:
        metadata = table(
            owner="team:ml",
            grain="an event of the tills",
            fresh_within=hours(26),
            partition_by="event_time",
        )


def flags(known: "Part", asked: "Part") -> "Floats":
    """The share of fraud among events at which the same alarms go off, which people set."""
    import numpy as np

    def alarms(part: "Part") -> "Floats":
        kind, payment = (
            np.asarray(part.column(name), dtype=object) for name in ("type", "payment")
        )
        single = (part.label("quantity") == 1) & (kind == "sale")
        raised = (
            part.label("markdown") >= 0.3,
            (kind == "return") & (payment == "cash"),
            (payment == "voucher") & (part.label("quantity") >= 12),
            (kind == "void") & (payment == "cash"),
            single & (payment == "card") & (part.label("register_singles") >= 2),
        )
        return np.sum([each * 2**place for place, each in enumerate(raised)], axis=0)

    places, asked_places = alarms(known).astype(int), alarms(asked).astype(int)
    fraud = np.bincount(places, weights=known.label("label"), minlength=32)
    count = np.bincount(places, minlength=32)
    # An alarm that went off hardly ever says little: ten events as all others count with it.
    shares = (fraud + 10 * known.label("label").mean()) / (count + 10)
    return shares[asked_places]


transaction_risk = EventClassifier(
    name="transaction_risk",
    contract=TransactionRisk,
    examples=EXAMPLES,
    tables=["silver.pos_events", "silver.pos_verdicts"],
    event=till_event,
    features={
        view: view.features for view in (cashier_behaviour, store_behaviour, member_behaviour)
    },
    split=Split(horizon=LONGEST_DELAY, holdout=days(1)),
    rule=flags,
    drawn=["cashier_id"],
    alerts=0.01,
    families=("boosting",),
    # One event in a hundred is fraud, so that an error as great would say nothing.
    limits=Limits(calibration=0.003),
    # Fraud is rare, and shows in few of the inputs.
    retraining=Retraining(drift_share=0.1),
    least_examples=1000,
    fresh_within=days(7),
)

transaction_risk_scores = scores(TransactionRisk, transaction_risk, every=seconds(1))
