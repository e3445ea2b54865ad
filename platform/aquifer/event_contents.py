"""Which events of a batch count: of each id one content, whatever came first.

An event id stands for one content. Of two contents the one with the smaller hash wins and the other
is refused, so that the order of arrival does not matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from aquifer.known_events import CONTENT_HASH, ID_HASH

ORDER = (CONTENT_HASH, "_partition", "_offset")
"""The first of an id's events counts: the content decides, then where it stands in the log."""


@dataclass(frozen=True)
class Settled:
    """The events of a batch, each in one place.

    Attributes:
        fresh: those whose id the table has not, one an id.
        winning: those whose content is to replace what the table has.
        losing: those whose id stands for another content.
        duplicates: how many others there are: the same content again.
    """

    fresh: pa.Table
    winning: pa.Table
    losing: pa.Table
    duplicates: int


class Candidates:
    """The events of a batch by id, of each id in order.

    Args:
        events: with `_id_hash`, `_hash`, `_partition` and `_offset`.
    """

    def __init__(self, events: pa.Table) -> None:
        order = np.lexsort([events[name].to_numpy() for name in (*reversed(ORDER), ID_HASH)])
        self._events = events.take(pa.array(order))
        self._contents = self._events[CONTENT_HASH].to_numpy()
        ids = self._events[ID_HASH].to_numpy()
        _, self._starts, self._counts = np.unique(ids, return_index=True, return_counts=True)

    def one_an_id(self) -> pa.Table:
        """The first event of each id."""
        return self._events.take(pa.array(self._starts))

    def settle(self, held: Mapping[int, int]) -> Settled:
        """Decide on each event.

        Args:
            held: the content that the table has of an id, by the id's place in `one_an_id`.
        """
        fresh = np.ones(len(self._starts), dtype=bool)
        fresh[[*held]] = False
        winning, losing, duplicates = [], [], 0
        contested = {*held, *np.nonzero(self._counts > 1)[0].tolist()}
        for place in contested:
            start = int(self._starts[place])
            events = range(start, start + int(self._counts[place]))
            first = int(self._contents[start])
            counts = min(first, held.get(place, first))
            if place in held and counts < held[place]:
                winning.append(start)
            lost = [event for event in events if self._contents[event] != counts]
            losing += lost
            taken = place not in held or counts < held[place]
            duplicates += len(events) - len(lost) - taken
        return Settled(
            self._rows(self._starts[fresh]), self._rows(winning), self._rows(losing), duplicates
        )

    def _rows(self, places: Any) -> pa.Table:
        return self._events.take(pa.array(places, pa.int64()))
