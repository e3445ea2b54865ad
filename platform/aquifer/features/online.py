"""The online store: the features of each entity at the end of the last day, for a look in no time.

Belongs here: what a store does, and how a view's rows get there and back. Does not: which store it
is (resources).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import pyarrow as pa

from aquifer.lake import Lake


class OnlineStore(Protocol):
    """Rows by view and entity, which any number of processes read.

    Attributes:
        remote: whether it is asked over a network, and by any number of threads; if not, it serves
            the thread that made it.
    """

    remote: bool

    def replace(self, view: str, rows: Iterable[tuple[str, str]]) -> None:
        """Let these be all rows of a view, at once for who reads them.

        Args:
            rows: keys and values.
        """
        ...

    def get(self, view: str, keys: Sequence[str]) -> Sequence[str | None]:
        """The values of some keys of a view; None for a key that it does not have."""
        ...


def latest(lake: Lake, view: str) -> pa.Table:
    """The rows of the last day of a view; of one without rows, none."""
    days = lake.table(view).partitions()
    last = max((partition["day"] for partition in days), default="")
    return lake.read(view, where=[("day", "=", date.fromisoformat(last))] if last else ())


def push(lake: Lake, view: str, entity: Sequence[str], store: OnlineStore) -> None:
    """Let a store hold the last day of a view."""
    store.replace(view, _written(latest(lake, view).to_pylist(), entity))


def entity_key(values: Sequence[Any]) -> str:
    """The key of an entity, whose columns have these values."""
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def online_features(
    store: OnlineStore, view: str, entities: Sequence[Sequence[Any]]
) -> list[Mapping[str, Any] | None]:
    """The features of entities, with `event_time` in ISO 8601; None for one that is not known."""
    values = store.get(view, [entity_key(each) for each in entities])
    return [None if value is None else json.loads(value) for value in values]


def _written(rows: Iterable[dict[str, Any]], entity: Sequence[str]) -> Iterator[tuple[str, str]]:
    for row in rows:
        key = entity_key([row[column] for column in entity])
        kept = {
            name: value
            for name, value in row.items()
            if name not in entity and not name.startswith("_") and name != "day"
        }
        kept["event_time"] = row["event_time"].isoformat()
        yield key, json.dumps(kept, separators=(",", ":"))
