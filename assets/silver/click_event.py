"""Clicks: what the web shop and the mobile app tell of a visitor, in the same words."""

from datetime import timedelta

from aquifer.bronze_events import EventTopic
from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver_events import EventTable, events
from assets.silver.customer_number import customer_number


class ClickEvent(Contract):
    """One thing that a visitor did."""

    event_id: str = Key(description="identifies the event; grows with time (UUIDv7)")
    type: str = Field(
        isin=["page_view", "search", "add_to_basket", "checkout"],
        description="page_view, search, add_to_basket or checkout",
    )
    event_time: Timestamp = Field(description="instant by the visitor's device, UTC")
    sent_at: Timestamp = Field(description="instant at which the event was to be sent, UTC")
    session_id: str = Field(str_length={"min_value": 1}, description="visit, as the shop counts it")
    visitor_id: str = Field(metadata=pii("customer"), description="the visitor's device")
    customer_id: str | None = Field(
        str_matches=r"^[0-9]+$",
        metadata=pii("customer"),
        description="customer number; null before the visitor has signed in",
    )
    page: str | None = Field(description="path of the page")
    query: str | None = Field(description="words that were searched for")
    sku: str | None = Field(description="stock code that it is about")
    quantity: int | None = Field(gt=0, description="pieces put into the basket")
    device: str | None = Field(description="kind of device")

    class Config:
        metadata = table(
            owner="team:web",
            grain="an event of a visit",
            fresh_within=hours(26),
            partition_by="event_time",
            quarantine_share=0.05,
        )


def clicks(name: str, reads: EventTopic) -> EventTable:
    """The silver table of a topic of clicks, for which nothing waits within the second."""
    return events(
        name,
        ClickEvent,
        reads=reads,
        every=timedelta(seconds=2),
        customer_id=customer_number("raw.customer_id"),
    )
