"""Sales at the tills by minute and store."""

from aquifer.contract import (
    Contract,
    Field,
    Key,
    Money,
    Timestamp,
    hours,
    minutes,
    references,
    table,
)
from aquifer.windowed import windowed
from aquifer.windows import tumbling
from assets.stream.tills import LINES, STORES, TILLS, UNKNOWN_STORE


class SalesPerMinute(Contract):
    """One minute of a store, by the tills' clocks; what is voided does not count."""

    window_start: Timestamp = Key(description="beginning of the minute, UTC")
    store_id: str = Key(description="store of the tills")
    store_key: str = Key(
        metadata=references("gold.dim_store.store_key"),
        description="version of the store at the time of the sale; the unknown one without any",
    )
    window_end: Timestamp = Field(description="end of the minute, UTC")
    city: str | None = Field(description="city of the store at the time of the sale")
    country: str = Field(description="country of the store at the time of the sale")
    sales: int = Field(ge=0, description="sales")
    returns: int = Field(ge=0, description="returns")
    units: int = Field(description="pieces sold less pieces brought back")
    net_amount: Money = Field(description="net of sale and return lines, GBP")
    is_final: bool = Field(description="whether the watermark has closed the minute")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a minute of a store",
            fresh_within=hours(26),
            partition_by="window_start",
        )


@windowed(
    SalesPerMinute,
    reads=TILLS,
    window=tumbling(minutes(1)),
    dimensions=[STORES],
)
def sales_per_minute() -> str:
    return f"""
    select
        l.window_start, l.window_end, l.store_id,
        coalesce(s.store_key, {UNKNOWN_STORE}) as store_key,
        max(s.city) as city,
        coalesce(max(s.country), 'Unspecified') as country,
        count(distinct case when l.type = 'sale' then l.event_id end) as sales,
        count(distinct case when l.type = 'return' then l.event_id end) as returns,
        sum(l.quantity) as units,
        cast(sum(l.net_amount) as decimal(18, 4)) as net_amount
    from ({LINES}) l
    left join dim_store s
        on l.store_id = s.store_id and l.event_time >= s.valid_from and l.event_time < s.valid_to
    group by l.window_start, l.window_end, l.store_id, coalesce(s.store_key, {UNKNOWN_STORE})
    """
