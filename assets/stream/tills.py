"""The tills as stream tables see them: what a void takes back is not there."""

from aquifer.event_source import EventSource, TakesBack
from aquifer.stream_windows import Dimension
from assets.gold.dim_store import DimStore
from assets.silver.pos_events import pos_events

TILLS = EventSource(pos_events, TakesBack("voids", when="type = 'void'"))

STORES = Dimension("gold.dim_store", DimStore)

UNKNOWN_STORE = "md5(concat_ws('|', 'unknown', unix_micros(timestamp'1900-01-01 00:00:00')))"
"""SQL of the key of the unknown store in `gold.dim_store`."""

LINES = """
    select *, upper(trim(line.sku)) as sku, line.quantity as quantity,
        try_cast(line.quantity * line.unit_price - line.discount as decimal(18, 4)) as net_amount
    from (select *, explode(lines) as line from events where type in ('sale', 'return'))
"""
"""SQL of the lines of sales and returns among `events`."""
