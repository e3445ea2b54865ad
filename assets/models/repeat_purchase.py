"""Repeat purchase: will a customer buy again within 30 days."""

from typing import TYPE_CHECKING

from aquifer.contract import Contract, Field, Key, days, pii, table
from aquifer.models.classifier import Classifier
from aquifer.models.model import Prediction, Split
from assets.features.customer_behaviour import customer_behaviour

if TYPE_CHECKING:
    from aquifer.models.evaluation import Floats
    from aquifer.models.training_set import Part


class RepeatPurchase(Prediction, Contract):
    """How likely a customer who has bought in the last year is to buy within 30 days."""

    customer_id: str = Key(metadata=pii("customer"), description="customer number")
    probability: float = Field(ge=0, le=1, description="of a purchase within 30 days")

    class Config:
        metadata = table(owner="team:ml", grain="a customer", fresh_within=days(2))


EXAMPLES = """
    with purchases as (
        select distinct customer_id, cast(invoiced_at as date) as bought_on
        from invoice_lines
        where customer_id is not null and line_type = 'sale'
    ),
    cutoffs as (
        select day from (
            select explode(sequence(first_day, last_day, interval 1 day)) as day
            from (
                select date_add(min(bought_on), 60) as first_day,
                    date_sub(max(bought_on), 30) as last_day
                from purchases
            )
            where first_day <= last_day
        )
        where dayofweek(day) = 1
    )
    select
        p.customer_id,
        cast(date_add(c.day, 1) as timestamp) as event_time,
        case
            when max(case when bought_on <= c.day then bought_on end) > date_sub(c.day, 30)
                then 'recent'
            when max(case when bought_on <= c.day then bought_on end) > date_sub(c.day, 90)
                then 'lapsing'
            else 'lapsed'
        end as segment,
        max(case when bought_on > c.day then 1 else 0 end) as label
    from cutoffs c join purchases p
        on p.bought_on > date_sub(c.day, 180) and p.bought_on <= date_add(c.day, 30)
    group by p.customer_id, c.day
    having min(p.bought_on) <= c.day
"""
"""Customers with a purchase in the last 180 days, at the end of each Sunday."""


def recency_rule(known: "Part", asked: "Part") -> "Floats":
    """The share of those who bought again among customers of like recency."""
    import numpy as np

    days_since, days_asked = (part.label("recency_days") for part in (known, asked))
    bounds = np.unique(np.quantile(days_since, np.linspace(0, 1, 11)[1:-1]))
    places = np.searchsorted(bounds, days_since, side="right")
    bought = np.bincount(places, weights=known.label("label"), minlength=len(bounds) + 1)
    shares = bought / np.maximum(np.bincount(places, minlength=len(bounds) + 1), 1)
    return shares[np.searchsorted(bounds, days_asked, side="right")]


repeat_purchase = Classifier(
    name="repeat_purchase",
    contract=RepeatPurchase,
    examples=EXAMPLES,
    tables=["silver.invoice_lines"],
    features={customer_behaviour: customer_behaviour.features},
    split=Split(horizon=days(30), holdout=days(7)),
    rule=recency_rule,
)
