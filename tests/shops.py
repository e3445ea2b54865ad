"""Shops: a world of tills and visits, whose events come late, twice and in two versions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings
from worlds import SILVER, Streams

from aquifer.stream_table import StreamTable

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

Event = dict[str, Any]

few_of_many_events = settings(
    max_examples=2,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
"""An example takes a second, and holds a hundred events and more."""


class Shops(Streams):
    """A world in which events arrive, in batches, and stream tables are advanced after each."""

    def arrive(self, topic: str, batch: Sequence[Event], *advanced: StreamTable) -> None:
        self.produce(topic, *batch)
        assert self.take_in(topic).accounted
        for table in advanced:
            table.advance(self.runtime)

    def put_stores(self, *versions: tuple[str, datetime]) -> None:
        """Let store S01 be in these cities, each from an instant on."""
        rows = [
            {
                "store_id": "S01",
                "name": "The store",
                "city": city,
                "country": "United Kingdom",
                "changed_at": since,
                "is_deleted": False,
                "_deleted": False,
            }
            for city, since in versions
        ]
        table = SILVER["silver.store_changes"]
        self.lake.append(table.name, pa.Table.from_pylist(rows, table.schema), {})

    def live(self, table: StreamTable | str) -> list[dict[str, Any]]:
        """The rows that stand, without the columns of the platform."""
        name = table if isinstance(table, str) else table.name
        return [
            {column: value for column, value in row.items() if not column.startswith("_")}
            for row in self.rows(name)
            if not row.get("_deleted")
        ]


def at(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def till(event_id: str, seconds: float, type_: str = "sale", **fields: Any) -> Event:
    sign = -1 if type_ == "return" else 1
    line = {"sku": "22423", "quantity": 2 * sign, "unit_price": "1.25", "discount": "0"}
    event = {
        "event_id": event_id,
        "type": type_,
        "event_time": at(seconds),
        "sent_at": at(seconds),
        "store_id": "S01",
        "register": 1,
        "cashier_id": "C1",
        "lines": [] if type_ == "void" else [line],
    }
    return event | fields


def click(event_id: str, seconds: float, visitor: str = "W1", **fields: Any) -> Event:
    event = {
        "event_id": event_id,
        "type": "page_view",
        "event_time": at(seconds),
        "sent_at": at(seconds),
        "session_id": f"s{visitor}",
        "visitor_id": visitor,
    }
    return event | fields


def arrivals(dice: Random, events: Sequence[Event], batches: int) -> list[list[Event]]:
    """The events in batches: about in their order, some late, some twice, some in two versions."""
    due = []
    for event in events:
        happened = datetime.fromisoformat(event["event_time"])
        for _ in range(1 + (dice.random() < 0.1)):
            delay = dice.choice([1, 1, 1, 60, 600, 7200]) * dice.random()
            due.append((happened + timedelta(seconds=delay), len(due), event))
        if dice.random() < 0.05:
            other = event | {"event_time": at(dice.uniform(0, 9000)), "register": 2, "device": "x"}
            due.append((happened + timedelta(seconds=dice.uniform(0, 7200)), len(due), other))
    ordered = [event for _, _, event in sorted(due, key=lambda arrival: arrival[:2])]
    cuts = sorted(dice.sample(range(1, len(ordered)), batches - 1))
    return [ordered[a:b] for a, b in zip([0, *cuts], [*cuts, len(ordered)], strict=True)]
