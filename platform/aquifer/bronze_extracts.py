"""Bronze from extracts: rows of a database table or an API, polled by watermark."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.bronze import Batch, BronzeTable
from aquifer.contract import Contract
from aquifer.instants import instant, micros
from aquifer.lake import DELETED, NOTHING, SEQUENCE, Lake

logger = logging.getLogger("aquifer.bronze")

INSTANT = pa.timestamp("us", "UTC")
WATERMARK = "watermark"

Row = Mapping[str, str | None]
Identity = tuple[str | None, ...]


class State(NamedTuple):
    """A state of a key: its row, none when it was deleted, and since when it holds."""

    row: Row | None
    at: datetime


class ExtractSource(Protocol):
    """A source that is polled."""

    def now(self) -> datetime:
        """The source's present, in UTC: the instant of the extraction."""
        ...

    def extract(self, entity: str, since: datetime | None) -> pa.Table:
        """Rows whose watermark column is at or after `since` (all when None), as text columns.

        With them come all rows whose watermark is null or no time.
        """
        ...

    def keys(self, entity: str) -> list[str] | None:
        """The keys of all rows that exist, or None where rows are never deleted."""
        ...


@dataclass(frozen=True)
class ExtractTable(BronzeTable):
    """Rows extracted by watermark, with an overlap so that late commits are not missed.

    A row that is as it was last received is skipped. A key that the silver table holds and the
    source no longer does is a delete, at the extraction's instant.
    """

    entity: str = ""
    watermark: str = ""
    overlap: timedelta = timedelta(days=1)
    key: tuple[str, ...] = ()
    silver: str = ""

    technical = pa.schema(
        [
            pa.field("_op", pa.string()),
            pa.field("_changed_at", INSTANT),
            pa.field("_extracted_at", INSTANT),
            pa.field("_row", pa.int64()),
        ]
    )

    def batches(self, lake: Lake, source: ExtractSource) -> Iterator[Batch]:
        now = source.now()
        reached = lake.progress(self.name, WATERMARK)
        since = None if reached == NOTHING else instant(reached) - self.overlap
        extracted = source.extract(self.entity, since).select(self.columns)
        # By the source's own clock, which wrote the watermarks: the host's may show another year.
        told = [_told(text, now) for text in extracted[self.watermark].to_pylist()]
        self._warn_of_rows_without(told, extracted)
        news = self._news(lake, extracted, told, since)
        rows = pa.concat_tables([news, self._deleted(lake, source)], promote_options="default")
        numbers = pa.array(range(len(rows)), pa.int64())
        extracted_at = pa.repeat(pa.scalar(now, INSTANT), len(rows))
        marks = [micros(at) for at in told if at]
        yield Batch(
            rows.append_column("_extracted_at", extracted_at).append_column("_row", numbers),
            {WATERMARK: max([reached, *marks])} if marks and len(rows) else {},
            duplicates=len(extracted) - len(news),
        )

    def _warn_of_rows_without(self, told: Sequence[datetime | None], extracted: pa.Table) -> None:
        if without := [place for place, at in enumerate(told) if at is None]:
            logger.warning(
                "%s: rows without a %s that is a time of the past: %d, the first with %r; each "
                "extraction reads them again; correct them in the source",
                self.name,
                self.watermark,
                len(without),
                extracted[self.watermark][without[0]].as_py(),
            )

    def _news(
        self,
        lake: Lake,
        extracted: pa.Table,
        told: Sequence[datetime | None],
        since: datetime | None,
    ) -> pa.Table:
        """The extracted rows that are not the latest state of their key as received.

        Their `_changed_at` is null where the watermark does not tell it: also of a row that went
        back behind the state before. It then counts as changed when it was extracted.
        """
        rows = extracted.to_pylist()
        always = [row[self.key[0]] for row, at in zip(rows, told, strict=True) if at is None]
        latest = self._latest(lake, since, always)
        news: dict[int, datetime | None] = {}
        for place, (row, at) in enumerate(zip(rows, told, strict=True)):
            state = latest.get(self._identity(row))
            if state is None or row != state.row:
                news[place] = None if state and at and at < state.at else at
        return _operated(extracted.take(pa.array(list(news), pa.int64())), "r").append_column(
            "_changed_at", pa.array(list(news.values()), INSTANT)
        )

    def _latest(
        self, lake: Lake, since: datetime | None, always: Sequence[str | None]
    ) -> dict[Identity, State]:
        """The latest state received of each key that an extraction from `since` may hold.

        Args:
            always: keys whose rows every extraction holds.
        """
        where: pc.Expression | tuple[()] = ()
        if since is not None:
            changed_at = pc.field("_changed_at")
            where = (
                (changed_at >= pa.scalar(since, INSTANT))
                | changed_at.is_null()
                | pc.field(self.key[0]).isin(pa.array(always, pa.string()))
            )
        columns = [*self.columns, *self.technical.names, SEQUENCE]
        received = lake.read(self.name, columns, where).sort_by(
            [(SEQUENCE, "ascending"), ("_row", "ascending")]
        )
        states = received.select(self.columns).to_pylist()
        operations = received["_op"].to_pylist()
        instants = pc.coalesce(received["_changed_at"], received["_extracted_at"]).to_pylist()
        return {
            self._identity(row): State(None if op == "d" else row, at)
            for row, op, at in zip(states, operations, instants, strict=True)
        }

    def _identity(self, row: Row) -> Identity:
        key: Identity = tuple(_trimmed(row[name]) for name in self.key)
        # Rows without a key are told apart by all that they hold.
        return key if all(key) else tuple(row.values())

    def _deleted(self, lake: Lake, source: ExtractSource) -> pa.Table:
        nothing = _operated(pa.table({self.key[0]: pa.array([], pa.string())}), "d")
        present = source.keys(self.entity) if self.silver else None
        if present is None or not lake.exists(self.silver):
            return nothing
        (key,) = self.key
        # Before the rows: what silver takes in meanwhile is pending then, and not deleted twice.
        taken_in = lake.progress(self.silver, self.name)
        held = lake.read(self.silver, [key, DELETED])
        live = held.filter(pc.invert(held[DELETED]))[key].to_pylist()
        pending = lake.read(self.name, [key], [("_op", "=", "d"), (SEQUENCE, ">", taken_in)])
        # Silver may have trimmed a key that bronze and the source write with blanks.
        accounted = {_trimmed(name) for name in [*present, *pending[key].to_pylist()]}
        gone = sorted(name for name in live if _trimmed(name) not in accounted)
        return _operated(pa.table({key: pa.array(gone, pa.string())}), "d")

    def decoded(self, contract: type[Contract]) -> str:
        return (
            f"select named_struct({self.struct}) as raw, _op, "
            "coalesce(_changed_at, _extracted_at) as _changed_at, "
            f"{SEQUENCE} as _order, "
            f"concat_ws('#', '{self.entity}', {SEQUENCE}, _row) as _position, "
            f"'{self.entity}' as _source, to_json(named_struct({self.struct})) as _raw, "
            f"{self.origin} as _origin from received"
        )


def _operated(rows: pa.Table, op: str) -> pa.Table:
    return rows.append_column("_op", pa.repeat(pa.scalar(op), len(rows)))


def _trimmed(text: str | None) -> str:
    # Of spaces alone, as SQL's trim does.
    return (text or "").strip(" ")


def _told(text: str | None, now: datetime) -> datetime | None:
    """The instant that a watermark tells; none when it is no time, or a time after `now`."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return at if at <= now else None
