"""Sessions of the shops' visitors, as their pauses part them."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, minutes, pii, seconds, table
from aquifer.windowed import windowed
from aquifer.windows import Session
from assets.stream.visits import VISITS


class WebSession(Contract):
    """What a visitor did without a pause of 30 minutes."""

    channel: str = Key(isin=["web", "mobile"], description="web or mobile")
    visitor_id: str = Key(metadata=pii("customer"), description="the visitor's device")
    window_start: Timestamp = Key(description="instant of the first event, UTC")
    window_end: Timestamp = Field(description="30 minutes after the last event, UTC")
    customer_id: str | None = Field(
        metadata=pii("customer"), description="customer number, if the visitor has signed in"
    )
    events: int = Field(ge=1, description="events")
    pages: int = Field(ge=0, description="page views")
    searches: int = Field(ge=0, description="searches")
    baskets: int = Field(ge=0, description="times that something was put into the basket")
    checkouts: int = Field(ge=0, description="checkouts")
    duration_s: float = Field(ge=0, description="seconds from the first event to the last")
    is_final: bool = Field(description="whether the watermark has closed the session")

    class Config:
        metadata = table(
            owner="team:web",
            grain="a session of a visitor",
            fresh_within=hours(26),
            partition_by="window_start",
        )


@windowed(
    WebSession,
    reads=VISITS,
    label="channel",
    window=Session(gap=minutes(30)),
    by=["visitor_id"],
    every=seconds(60),
)
def web_sessions() -> str:
    return """
    select
        channel, visitor_id, window_start, window_end,
        max(customer_id) as customer_id,
        count(*) as events,
        count_if(type = 'page_view') as pages,
        count_if(type = 'search') as searches,
        count_if(type = 'add_to_basket') as baskets,
        count_if(type = 'checkout') as checkouts,
        (unix_micros(max(event_time)) - unix_micros(min(event_time))) / 1000000.0D as duration_s
    from events
    group by channel, visitor_id, window_start, window_end
    """
