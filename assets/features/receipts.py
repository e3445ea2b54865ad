"""Receipts: what an event of the tills comes to, in the words of all features that are made of it.

Belongs here: values of one event. Does not: what happened before it (`till_event`), and what is
usual (`till_behaviour`).
"""

RECEIPTS = """
    select
        e.event_id, e.event_time, e.type, e.payment, e.store_id, e.register, e.cashier_id,
        e.member_id, e.voids,
        coalesce(l.line_count, 0) as line_count,
        coalesce(l.quantity, 0) as quantity,
        coalesce(l.gross, cast(0 as decimal(18, 4))) as gross,
        cast(l.discount as double) / cast(l.gross as double) as discount_share,
        l.price_ratio, l.greatest_price,
        case when e.type = 'sale' then greatest(
            coalesce(cast(l.discount as double) / cast(l.gross as double), 0D),
            coalesce(1 - l.price_ratio, 0D)
        ) else 0D end as markdown,
        case when e.type = 'sale' and l.quantity = 1 and e.member_id is null then 1 else 0 end
            as single
    from events e left join (
        select event_id, count(*) as line_count, sum(quantity) as quantity,
            try_cast(sum(quantity * unit_price) as decimal(18, 4)) as gross,
            try_cast(sum(discount) as decimal(18, 4)) as discount,
            min(cast(unit_price as double) / cast(list_price as double)) as price_ratio,
            max(cast(unit_price as double)) as greatest_price
        from (
            select event_id, upper(trim(line.sku)) as sku, line.quantity as quantity,
                line.unit_price as unit_price, line.discount as discount
            from (select event_id, explode(lines) as line from events where type <> 'void')
        ) l left join (
            select sku as listed, list_price from products where list_price > 0
        ) p on l.sku = p.listed
        group by event_id
    ) l on e.event_id = l.event_id
"""
"""SQL over `events` of the tills and `products`: each event with what its lines come to.

`gross` is before discounts, `price_ratio` that of the line furthest below its list price, as that
is now, and `markdown` the share of the price of a sale that was let off, either way. A `single` is
a sale of one piece to somebody without a card. What is summed up is exact, so that no sum depends
on its order.
"""
