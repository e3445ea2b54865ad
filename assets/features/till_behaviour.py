"""Behaviour at the tills: what the events of a cashier, store or member were like on a day.

Belongs here: the query that their views share. Does not: which of it each has (the views).

The day before tells as much as more days do, and forgets soon who has changed.
"""

from aquifer.contract import Contract, contract_fields
from assets.features.receipts import RECEIPTS

RATES = {
    "return_rate": ("returns", "events"),
    "returned": ("returned", "events"),
    "void_rate": ("voids", "events"),
    "voided": ("voided", "events"),
    "markdown": ("markdown", "sales"),
    "single_rate": ("singles", "sales"),
    "voucher_rate": ("by_voucher", "sales"),
    "voucher_pieces": ("voucher_pieces", "sales"),
    "pieces": ("pieces", "sales"),
}
"""What is divided by what, by the name of the feature; null where there is nothing to divide by."""


def till_behaviour(entity: str, contract: type[Contract]) -> str:
    """SQL of a view over `pos_events` and `products`.

    What is voided within the day counts as an event, but as no sale or return.

    Args:
        entity: the column of whose events they are.
        contract: with the number of events and some of `RATES`, each after the entity's first word.
    """
    prefix = entity.partition("_")[0]
    columns = {column.name for column in contract_fields(contract)}
    features = ", ".join(
        f"cast({part} as double) / nullif({whole}, 0) as {prefix}_{name}"
        for name, (part, whole) in RATES.items()
        if f"{prefix}_{name}" in columns
    )
    return f"""
    with events as (
        select p.* from pos_events p join days d on cast(p.event_time as date) = d.day
    ),
    receipts as ({RECEIPTS}),
    voids as (
        select voids as voided_id, cast(event_time as date) as voided_on
        from events where type = 'void' group by voids, cast(event_time as date)
    ),
    dealings as (
        select
            cast(r.event_time as date) as day, r.{entity}, r.event_id, r.payment, r.gross,
            r.quantity, r.markdown, r.single, v.gross as voided_gross,
            case when b.voided_id is null then r.type else 'voided' end as type
        from receipts r
            left join voids b
                on r.event_id = b.voided_id and cast(r.event_time as date) = b.voided_on
            -- Of the day alone: whether others are computed with it must not matter.
            left join (select event_id, gross, cast(event_time as date) as sold_on from receipts) v
                on r.voids = v.event_id and cast(r.event_time as date) = v.sold_on
        where r.{entity} is not null
    ),
    totals as (
        select
            day, {entity},
            count(event_id) as events,
            count(case when type = 'sale' then 1 end) as sales,
            count(case when type = 'return' then 1 end) as returns,
            0 - sum(case when type = 'return' then gross else 0 end) as returned,
            count(case when type = 'void' then 1 end) as voids,
            sum(case when type = 'void' then coalesce(voided_gross, 0) else 0 end) as voided,
            sum(case when type = 'sale' then cast(round(10000 * markdown) as bigint) else 0 end)
                / 10000 as markdown,
            sum(case when type = 'sale' then single else 0 end) as singles,
            count(case when type = 'sale' and payment = 'voucher' then 1 end) as by_voucher,
            sum(case when type = 'sale' and payment = 'voucher' then quantity else 0 end)
                as voucher_pieces,
            sum(case when type = 'sale' then quantity else 0 end) as pieces
        from dealings
        group by day, {entity}
    )
    select day, {entity}, events as {prefix}_events, {features} from totals
    """
