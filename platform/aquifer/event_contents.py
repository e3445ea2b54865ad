"""Which events of a batch count: of each id one content, whatever came first.

An event id stands for one content. Of two contents the one with the smaller hash wins and the other
is refused, so that the order of arrival does not matter.
"""

from collections.abc import Mapping, Sequence
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
    """The events of a batch that passed, by id, of each id in order.

    Args:
        events: with `_id_hash`, `_hash`, `_partition` and `_offset`.
        passed: which of them are candidates.
    """

    def __init__(self, events: pa.Table, passed: pa.ChunkedArray) -> None:
        self._events = events
        # Only places are sorted and picked: whole rows are copied once, when all is decided.
        (places,) = np.nonzero(passed.to_numpy())
        ids, *order = (events[name].to_numpy()[places] for name in (ID_HASH, *ORDER))
        sorted_ = np.lexsort([*reversed(order), ids])
        self._places = places[sorted_]
        self._contents = order[0][sorted_]
        _, self._starts, self._counts = np.unique(
            ids[sorted_], return_index=True, return_counts=True
        )

    def one_an_id(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of the first event of each id."""
        return self._events.select(columns).take(pa.array(self._places[self._starts]))

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
        # As they came: neighbours resemble each other, which compresses well. And those that stay
        # are nearly all, whose runs a filter copies whole.
        picked = np.zeros(len(self._events), dtype=bool)
        picked[self._places[places]] = True
        return self._events.filter(pa.array(picked))
