"""The conversion rate of the shops over the last five minutes, every minute."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, minutes, seconds, table
from aquifer.windowed import windowed
from aquifer.windows import Sliding
from assets.stream.visits import VISITS


class Conversion5m(Contract):
    """Five minutes of a shop; a session counts where it has an event."""

    window_start: Timestamp = Key(description="beginning of the five minutes, UTC")
    channel: str = Key(isin=["web", "mobile"], description="web or mobile")
    window_end: Timestamp = Field(description="end of the five minutes, UTC")
    sessions: int = Field(ge=0, description="sessions with an event")
    baskets: int = Field(ge=0, description="sessions that put something into the basket")
    checkouts: int = Field(ge=0, description="sessions that checked out")
    conversion_rate: float = Field(
        in_range={"min_value": 0, "max_value": 1}, description="checkouts per session"
    )
    is_final: bool = Field(description="whether the watermark has closed the five minutes")

    class Config:
        metadata = table(
            owner="team:web",
            grain="five minutes of a shop",
            fresh_within=hours(26),
            partition_by="window_start",
        )


@windowed(
    Conversion5m,
    reads=VISITS,
    label="channel",
    window=Sliding(minutes(5), every=minutes(1)),
    every=seconds(15),
)
def conversion_5m() -> str:
    return """
    select *, cast(checkouts as double) / sessions as conversion_rate
    from (
        select
            window_start, window_end, channel,
            count(distinct session_id) as sessions,
            count(distinct case when type = 'add_to_basket' then session_id end) as baskets,
            count(distinct case when type = 'checkout' then session_id end) as checkouts
        from events
        group by window_start, window_end, channel
    )
    """
