"""Events: the shape that all bronze tables of event topics share."""

from aquifer.bronze_events import EventTopic
from aquifer.contract import Contract, Field, hours, pii, table
from aquifer.schema_compatibility import Compatibility


class Event(Contract):
    """One event of a topic, as it was produced."""

    key: str | None = Field(
        description="what decides the event's partition, such as a visit", metadata=pii("customer")
    )
    value: str | None = Field(
        description="the event, as JSON; null when it came as other bytes, which _bytes has",
        metadata=pii("record"),
    )

    class Config:
        metadata = table(
            owner="team:platform", grain="an event as produced", fresh_within=hours(26)
        )


def events_of(topic: str, compatibility: Compatibility = Compatibility.backward) -> EventTopic:
    """The bronze table of a topic of the event log: `pos.events` is `bronze.pos_events`.

    Args:
        compatibility: what a change of the events' contract must not break.
    """
    name = topic.replace(".", "_")
    return EventTopic(
        f"bronze.{name}",
        Event,
        resource="events",
        source=name,
        topic=topic,
        compatibility=compatibility,
    )
