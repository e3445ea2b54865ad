"""Sales of today, which is a day of UTC, up to the present."""

from aquifer.contract import Contract, Date, Field, Key, Money, Timestamp, hours, table
from aquifer.serving import ServingView


class SalesToday(Contract):
    """Today in a channel and store."""

    day: Date = Key(description="today, in UTC")
    channel: str = Key(isin=["online", "store"], description="online or store")
    store_id: str = Key(description="store number; `unknown` for online sales and unknown stores")
    sales: int = Field(ge=0, description="invoices, or tills' events, with a sale")
    lines: int = Field(ge=1, description="sale and return lines")
    units: int = Field(description="pieces sold less pieces brought back")
    revenue: Money = Field(description="net of sale and return lines, GBP")
    latest_minute: Timestamp = Field(description="beginning of the latest minute with a sale, UTC")

    class Config:
        metadata = table(
            owner="team:sales", grain="today in a channel and store", fresh_within=hours(1)
        )


sales_today = ServingView(
    "serving.sales_today",
    SalesToday,
    """
    select
        cast(minute as date) as day,
        channel,
        store_id,
        cast(sum(sales) as bigint) as sales,
        cast(sum(lines) as bigint) as lines,
        cast(sum(units) as bigint) as units,
        cast(sum(revenue) as decimal(18, 4)) as revenue,
        max(minute) as latest_minute
    from serving.sales_by_minute
    where minute >= date_trunc('day', make_timestamp(epoch_us(now())))
        and minute < date_trunc('day', make_timestamp(epoch_us(now()))) + interval 1 day
    group by all
    """,
)
