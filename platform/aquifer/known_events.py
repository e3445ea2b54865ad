"""Known events: the ids that a table of events holds, so that a duplicate is seen at once.

Belongs here: one process's memory of a table's ids, kept true to the table's log. Does not: what
becomes of a duplicate (`silver_events`).

An id is held as a hash of 64 bits, beside the hash of its event's content. All ids from `bound` on
are in memory; the others, all old where ids grow with time (UUIDv7), are looked up in the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from aquifer.lake import NOTHING, SEQUENCE, Lake

HELD = 20_000_000
"""About how many ids are in memory at most, in 16 bytes each."""

ID_HASH, CONTENT_HASH = "_id_hash", "_hash"

_Hashes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class _Segment:
    """Ids in ascending order, each once, and the contents that they had."""

    ids: _Hashes
    contents: _Hashes

    def find(self, ids: _Hashes) -> tuple[_Hashes, _Hashes]:
        """The places in `ids` of those that are here, and their contents."""
        places = np.searchsorted(self.ids, ids)
        places[places == len(self.ids)] = 0
        (found,) = np.nonzero(self.ids[places] == ids)
        return found, self.contents[places[found]]


def _segment(ids: _Hashes, contents: _Hashes) -> _Segment:
    # Of an id that is there twice, unique takes the first. Runs in order are merged in linear time.
    order = np.argsort(ids, kind="stable")
    ids, first = np.unique(ids[order], return_index=True)
    return _Segment(ids, contents[order][first])


@dataclass
class KnownEvents:
    """The ids that a table holds.

    Args:
        table: its name.
        key: the column of the event id.
    """

    table: str
    key: str
    bound: str = ""
    seq: int = NOTHING
    """The `_seq` of the table up to which the memory is true."""
    _segments: list[_Segment] = field(default_factory=list)
    """The oldest first, each at least twice as large as the next."""

    def follow(self, lake: Lake) -> None:
        """Take in what the table has that the memory has not."""
        seq = lake.seq(self.table)
        if seq <= self.seq:
            return
        if self.seq == NOTHING:
            self.bound = _bound(lake.table(self.table), self.key)
        columns = [self.key, ID_HASH, CONTENT_HASH]
        where = [(SEQUENCE, ">", self.seq), (self.key, ">=", self.bound)]
        self.add(lake.read(self.table, columns, where), seq)

    def add(self, rows: pa.Table, seq: int) -> None:
        """Take in rows that the table has, which is at this `_seq` with them."""
        self.seq = seq
        kept = rows.filter(pc.greater_equal(rows[self.key], self.bound))
        if not len(kept):
            return
        added = _segment(kept[ID_HASH].to_numpy(), kept[CONTENT_HASH].to_numpy())
        while self._segments and len(self._segments[-1].ids) < 2 * len(added.ids):
            older = self._segments.pop()
            ids = np.concatenate([added.ids, older.ids])
            added = _segment(ids, np.concatenate([added.contents, older.contents]))
        self._segments.append(added)

    def contents(self, lake: Lake, rows: pa.Table) -> Mapping[int, int]:
        """Of the rows whose ids the table holds, by place: the content hash that it holds.

        No two of the rows have the same id.
        """
        ids = rows[ID_HASH].to_numpy()
        found: dict[int, int] = {}
        for segment in self._segments:  # The newest last, which says what holds now.
            places, contents = segment.find(ids)
            found |= dict(zip(places.tolist(), contents.tolist(), strict=True))
        return found | self._looked_up(lake, rows)

    def _looked_up(self, lake: Lake, rows: pa.Table) -> dict[int, int]:
        (old,) = np.nonzero(pc.less(rows[self.key], self.bound).to_numpy())
        if not len(old):
            return {}
        keys = dict(zip(rows[self.key].take(pa.array(old)).to_pylist(), old.tolist(), strict=True))
        columns = [self.key, CONTENT_HASH]
        held = lake.read(self.table, columns, [(self.key, "in", sorted(keys))])
        contents = zip(held[self.key].to_pylist(), held[CONTENT_HASH].to_pylist(), strict=True)
        return {keys[key]: content for key, content in contents}


def _bound(table: DeltaTable, key: str) -> str:
    """The id from which on about `HELD` ids stand in the table's files; of a smaller table, ""."""
    if table.count() <= HELD:
        return ""
    files = pa.table(table.get_add_actions(flatten=True)).select(["num_records", f"min.{key}"])
    held = 0
    for file in files.sort_by([(f"min.{key}", "descending")]).to_pylist():
        held += file["num_records"]
        if held > HELD:
            return str(file[f"min.{key}"])
    return ""
