"""Sales by minute, up to the present: gold's, and the tills' that gold has yet to take in."""

from aquifer.contract import minutes
from aquifer.serving import MergedView
from aquifer.speed_layer import SpeedLayer
from aquifer.windows import tumbling
from assets.gold.sales_by_minute import SalesByMinute
from assets.stream.tills import STORES, TILLS

QUERY = """
    select
        l.minute,
        'store' as channel,
        coalesce(s.store_id, 'unknown') as store_id,
        count(distinct case when l.type = 'sale' then l.event_id end) as sales,
        count(*) as lines,
        sum(l.line.quantity) as units,
        sum(try_cast(
            l.line.quantity * l.line.unit_price - l.line.discount as decimal(18, 4)
        )) as revenue
    from (
        select *, date_trunc('minute', event_time) as minute, unnest(lines) as line
        from events
        where type in ('sale', 'return')
    ) l
    left join dim_store s
        on l.store_id = s.store_id and l.event_time >= s.valid_from and l.event_time < s.valid_to
    group by l.minute, coalesce(s.store_id, 'unknown')
"""

sales_by_minute = MergedView(
    "serving.sales_by_minute",
    SalesByMinute,
    batch="gold.sales_by_minute",
    speed=SpeedLayer(TILLS, tumbling(minutes(1)), SalesByMinute, QUERY, [STORES]),
    time="minute",
    stream="channel = 'store'",
)
