"""Silver from events: facts that stand for good, each once, however often it is delivered.

Belongs here: how new bronze events become rows, exactly once. Does not: how an event is read and
checked (`conform`), which ids are known (`known_events`), which content counts (`event_contents`),
rows whose state changes (`silver`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.advance import Advance, Standing
from aquifer.bronze_events import EVENT_COLUMNS, EventTopic
from aquifer.bronze_topics import BYTES, ends_of
from aquifer.conform import REASONS, conform_sql
from aquifer.contract import Contract, arrow_schema, contract_fields
from aquifer.errors import ContractError
from aquifer.event_contents import Candidates, Settled
from aquifer.event_texts import EventTexts
from aquifer.instants import instant
from aquifer.known_events import CONTENT_HASH, ID_HASH, KnownEvents
from aquifer.lake import DELETED, MONTH, NOTHING, SEQUENCE, Lake
from aquifer.masking import sample_markdown
from aquifer.quarantine import (
    add_refused,
    append_refused,
    not_held,
    quarantine_name,
    waiting_reasons,
)
from aquifer.runtime import Runtime
from aquifer.silver_table import SilverTable

FIRST_SEQUENCE = "_first_seq"
"""The `_seq` with which an id came into the table: who is downstream knows whether it is new."""

FORMER = "_former"
"""The contents that an event had before, as received: downstream may hold what followed."""

CONFLICT = "conflicting_content"
"""The reason of an event whose id stands for another content."""

UNREADABLE = "json_unreadable"
"""The one reason of an event that is no JSON object, or none that can be read."""

WATERMARK = "_watermark"
"""The application transaction of the watermark, in microseconds since 1970."""

EXPECTED, REFUSED = "_expected", "_refused"
"""Application transactions that tell how many rows the table has to have by all that came in, and
how many of that its quarantine has to hold. They are recorded with the rows."""

DELAY_US = 60_000_000
"""How far the watermark is behind the latest event; what happened before it comes late."""

AGAIN = "_again"
"""The application transaction of the `_seq` of bronze up to which events may have been in the table
before it lost some: downstream may have taken them in, and the quarantine may hold them."""

EVENTS_PER_BATCH = 200_000
BATCHES_PER_ADVANCE = 5
"""Each is in a transaction of its own."""

PLACE = ["_partition", "_offset"]
"""Where an event stands in its topic."""


@dataclass(frozen=True)
class _Batch:
    """Events that come in together.

    Attributes:
        reached: the `_seq` of bronze up to which they go.
        received: rows of bronze.
        checking: what the engine makes of them, and rows of the quarantine for what has no text.
        again: how many others there are that the table has, which bronze lost and read again.
    """

    reached: int
    received: pa.Table
    checking: Future[tuple[pa.Table, list[dict[str, Any]]]]
    again: int


@dataclass(frozen=True)
class _Outcome:
    """What becomes of a batch.

    Attributes:
        settled: the events that passed.
        refused: rows of the quarantine for those of the batch that do not count.
        held: of the rows whose content is to be replaced: the id, and what stays of them.
        displaced: rows of the quarantine for these.
    """

    settled: Settled
    refused: list[dict[str, Any]]
    held: pa.Table
    displaced: list[dict[str, Any]]


@dataclass(frozen=True)
class EventTable(SilverTable):
    """A silver table of events: rows are appended, and hardly ever change."""

    reads: EventTopic
    every: timedelta = timedelta(0)
    """How often a drain advances the table at most."""

    @property
    def technical(self) -> pa.Schema:
        numbers = ("_partition", "_offset", ID_HASH, CONTENT_HASH, FIRST_SEQUENCE)
        columns = [pa.field(name, pa.int64()) for name in numbers]
        return pa.schema([*columns, pa.field(FORMER, pa.list_(pa.string()))])

    @property
    def time(self) -> str:
        """The column of the event's own time, by which the table is partitioned."""
        if self.target.month_of is None:
            raise ContractError(f"{self.name}: a table of events needs partition_by, its time")
        return self.target.month_of

    def take_in(self, runtime: Runtime, place: str, since: int, upto: int) -> Advance:
        done, lake = Advance(self.name), runtime.lake
        # Since it lost some, no row has come in.
        if lake.torn(self.name) > lake.seq(self.name):
            lake.record(self.name, {AGAIN: upto})
        texts = EventTexts(runtime.schemas)
        for batch in self._batches(runtime, texts, place, since, upto):
            done = done.plus(self._settle(runtime.lake, texts, batch))
        return done

    def _batches(
        self, runtime: Runtime, texts: EventTexts, place: str, since: int, upto: int
    ) -> Iterator[_Batch]:
        """What has come in, by batches; the engine checks the next while one is dealt with."""
        lake, coming = runtime.lake, None
        with ThreadPoolExecutor(1) as engine:
            for reached in islice(self._ends(lake, since, upto), BATCHES_PER_ADVANCE):
                # Found by the log and sent to the engine, which else reads the log for each batch.
                read, since = self._between(lake, since, reached), reached
                received = self._unseen(lake, read)
                checking = engine.submit(
                    self._checked, runtime, texts, f"{place}/{reached}", received
                )
                if coming:
                    yield coming
                coming = _Batch(reached, received, checking, len(read) - len(received))
            if coming:
                yield coming

    def _ends(self, lake: Lake, since: int, upto: int) -> Iterator[int]:
        """The `_seq` of bronze up to which each batch goes."""
        # What a killed advance has begun is repeated as it was: in a larger batch, contents could
        # win that the quarantine has by now.
        begun = lake.progress(quarantine_name(self.name), self.reads.name)
        while since < upto:
            since = (
                begun
                if begun > since
                else lake.reach(self.reads.name, since, upto, EVENTS_PER_BATCH)
            )
            yield since

    def _between(self, lake: Lake, since: int, upto: int) -> pa.Table:
        """The rows of bronze above one `_seq` up to another."""
        new = [(SEQUENCE, ">", since), (SEQUENCE, "<=", upto)]
        return lake.read(self.reads.name, None, new)

    def _unseen(self, lake: Lake, read: pa.Table) -> pa.Table:
        """Of rows of bronze those that the table has not taken in before bronze lost them."""
        partitions = pc.unique(read["_partition"]).to_pylist()
        ends = lake.marks(self.name, map(self.reads.mark, partitions))
        for partition in partitions:
            end = ends.get(self.reads.mark(partition), 0)
            seen = (pc.field("_partition") == partition) & (pc.field("_offset") < end)
            read = read.filter(~seen)
        return read

    def _settle(self, lake: Lake, texts: EventTexts, batch: _Batch) -> Advance:
        """Write what becomes of a batch."""
        events, unread = batch.checking.result()
        outcome = self._outcome(lake, texts, batch.received, events)
        settled = outcome.settled
        refused = [*unread, *outcome.refused, *outcome.displaced]
        again = batch.reached <= lake.progress(self.name, AGAIN)
        append_refused(
            lake,
            self.name,
            not_held(lake, self.name, refused) if again else refused,
            {self.reads.name: batch.reached},
        )
        table = lake.table(self.name)
        watermark, before = table.transaction_version(WATERMARK) or NOTHING, table.count()
        reached = max(watermark, _latest(settled.fresh, self.time) - DELAY_US)
        came = len(batch.received) - settled.duplicates - len(refused)
        marks = {self.reads.name: batch.reached, WATERMARK: reached}
        ends = ends_of(batch.received["_partition"], batch.received["_offset"])
        marks |= {self.reads.mark(partition): end for partition, end in ends.items()}
        marks |= self._accounts(lake, came, len(refused))
        self._commit(lake, outcome, marks, again=again)
        kept = int(lake.table(self.name).count() - before)
        return Advance(
            self.name,
            rows_in=len(batch.received) + batch.again,
            kept=kept,
            quarantined=len(refused),
            duplicates=settled.duplicates + batch.again,
            written=kept + len(settled.winning),
            late=_earlier(settled.fresh, self.time, watermark),
            watermark=instant(reached) if reached > 0 else None,
            reasons=Counter(reason for row in refused for reason in row["reasons"]),
            sample=sample_markdown(settled.fresh.slice(0, 5), self.contract),
        )

    def refuse_again(self, runtime: Runtime, place: str, upto: int) -> None:
        lake, texts, since = runtime.lake, EventTexts(runtime.schemas), NOTHING
        while since < upto:
            reached = lake.reach(self.reads.name, since, upto, EVENTS_PER_BATCH)
            received = self._between(lake, since, reached)
            events, unread = self._checked(runtime, texts, f"{place}/{reached}", received)
            refused = self._outcome(lake, texts, received, events).refused
            add_refused(lake, self.name, [*unread, *refused])
            since = reached

    def take_in_again(
        self, runtime: Runtime, place: str, received: pa.Table
    ) -> Sequence[Mapping[str, Any]]:
        texts = EventTexts(runtime.schemas)
        events, refused = self._checked(runtime, texts, place, received)
        outcome = self._outcome(runtime.lake, texts, received, events)
        refused += outcome.refused
        reasons = {row["position"]: row["reasons"] for row in refused}
        positions = [*map(self.reads.position, received.select(EVENT_COLUMNS).to_pylist())]
        add_refused(runtime.lake, self.name, outcome.displaced)
        marks = self._accounts(runtime.lake, len(outcome.settled.fresh), len(outcome.displaced))
        self._commit(runtime.lake, outcome, marks)
        return [{"_position": at, REASONS: reasons.get(at, [])} for at in positions]

    def contents(self, runtime: Runtime, texts: Sequence[str]) -> pa.Table:
        """Contents that events had before (`_former`), in the contract's columns."""
        none = {name: [None] * len(texts) for name in EVENT_COLUMNS}
        types = {"value": pa.string(), **{name: pa.int64() for name in EVENT_COLUMNS}}
        types |= {"_published_at": pa.timestamp("us", "UTC"), BYTES: pa.binary()}
        schema = pa.schema(list(types.items()))
        received = pa.Table.from_pydict({"value": texts, **none}, schema)
        # They were texts when they were refused.
        with runtime.staging() as place:
            events, _ = self._checked(runtime, EventTexts(None), place, received)
        return events.select(arrow_schema(self.contract).names)

    def forget(self, lake: Lake) -> None:
        partitions = pc.unique(lake.read(self.reads.name, ["_partition"])["_partition"])
        ends = map(self.reads.mark, partitions.to_pylist())
        lake.forget(self.name, [self.reads.name, *ends])
        lake.record(self.name, {EXPECTED: lake.table(self.name).count(), REFUSED: 0})

    def standing(self, lake: Lake) -> Standing:
        table = lake.table(self.name)
        rows = int(table.count())
        expected, refused = (table.transaction_version(mark) or 0 for mark in (EXPECTED, REFUSED))
        # Asked afterwards: the quarantine holds more while an advance is under way, never less.
        held = int(lake.table(quarantine_name(self.name)).count())
        waiting = waiting_reasons(lake, self.name)
        return Standing(
            rows=rows,
            waiting=len(waiting),
            reasons=Counter(reason for row in waiting for reason in row),
            lost=abs(expected - rows) + max(0, refused - held),
        )

    def _accounts(self, lake: Lake, rows: int, refused: int) -> dict[str, int]:
        """The marks that tell of so many rows more, and refused ones."""
        marks = lake.marks(self.name, (EXPECTED, REFUSED))
        return {
            EXPECTED: marks.get(EXPECTED, 0) + rows,
            REFUSED: marks.get(REFUSED, 0) + refused,
        }

    def _checked(
        self, runtime: Runtime, texts: EventTexts, place: str, received: pa.Table
    ) -> tuple[pa.Table, list[dict[str, Any]]]:
        """Events with the contract's columns, `_reasons` and those of the platform.

        And rows of the quarantine for those that have no text to be checked.
        """
        session = runtime.session
        read, unread = texts.read(received)
        rows = runtime.hand_over(read, place, "received")
        with runtime.names():
            rows.createOrReplaceTempView("received")
            session.sql(self.reads.decoded(self.contract)).createOrReplaceTempView("new")
            checked = session.sql(conform_sql(session, self.contract, self.query)).toArrow()
        refused = [self.reads.refused({**event, "_raw": None}, [why]) for event, why in unread]
        return checked, refused

    def _outcome(
        self, lake: Lake, texts: EventTexts, received: pa.Table, events: pa.Table
    ) -> "_Outcome":
        """What becomes of the checked events among those that were received."""
        passed = pc.equal(pc.list_value_length(events[REASONS]), 0)
        known = self._known(lake)
        known.follow(lake)
        candidates = Candidates(events, passed)
        ids = candidates.one_an_id([self.target.keys[0], ID_HASH])
        settled = candidates.settle(known.contents(lake, ids))
        unfit = [
            self.reads.refused(event, _reasons(event, self.target.columns))
            for event in events.filter(pc.invert(passed)).to_pylist()
        ]
        losing = received.join(settled.losing.select(PLACE), PLACE, join_type="left semi")
        held = self._held(lake, settled.winning)
        return _Outcome(
            settled,
            [*unfit, *self._conflicts(texts, losing)],
            held,
            [*self._conflicts(texts, self._received(lake, held))],
        )

    def _conflicts(self, texts: EventTexts, received: pa.Table) -> Iterator[dict[str, Any]]:
        """Rows of the quarantine for events whose content does not count."""
        for event in received.to_pylist():
            yield self.reads.refused({**event, "_raw": texts.of(event)}, [CONFLICT])

    def _held(self, lake: Lake, events: pa.Table) -> pa.Table:
        """Of the rows of the table with these ids: the id, and what stays of them."""
        columns = [self.target.keys[0], *PLACE, FIRST_SEQUENCE, FORMER]
        if not len(events):
            return self.schema.empty_table().select(columns)
        ids = events[columns[0]].to_pylist()
        return lake.read(self.name, columns, [(columns[0], "in", ids)])

    def _received(self, lake: Lake, held: pa.Table) -> pa.Table:
        """The rows of bronze that rows of the table were made from."""
        offsets: dict[int, list[int]] = defaultdict(list)
        for place in held.select(PLACE).to_pylist():
            offsets[place["_partition"]].append(place["_offset"])
        if not offsets:
            return pa.table({})
        there = [[("_partition", "=", p), ("_offset", "in", each)] for p, each in offsets.items()]
        return lake.read(self.reads.name, None, there)

    def _commit(
        self, lake: Lake, outcome: "_Outcome", marks: Mapping[str, int], *, again: bool = False
    ) -> None:
        """Write what counts, and the marks with the last of it.

        Contents are replaced before, in a transaction of their own: a merge that also appended
        would write anew the files that it finds them in, together with all that is fresh. An
        advance that is killed in between finds the same contents in the table again.
        """
        settled = outcome.settled
        if len(settled.winning):
            self._replace(lake, outcome)
        if len(settled.fresh):
            first = 0 if again else lake.next_seq(self.name)
            lake.append(self.name, self._stamped(settled.fresh, first), marks)
        else:
            lake.record(self.name, {**marks, SEQUENCE: lake.next_seq(self.name)})
        for rows in (settled.winning, settled.fresh):
            self._known(lake).add(rows, lake.seq(self.name))

    def _known(self, lake: Lake) -> KnownEvents:
        return _known(lake.uri(self.name), self.name, self.target.keys[0])

    def _replace(self, lake: Lake, outcome: "_Outcome") -> None:
        """Let contents replace others, which their rows keep, and record those as refused."""
        rows, key = self._stamped(outcome.settled.winning, NOTHING), self.target.keys[0]
        raws = {row["position"]: row["raw"] for row in outcome.displaced}
        held = {row[key]: row for row in outcome.held.to_pylist()}
        ids = rows[key].to_pylist()
        former = [
            [*(held[each][FORMER] or []), raws.get(self.reads.position(held[each]))] for each in ids
        ]
        rows = _with(rows, FORMER, former)
        rows = _with(rows, FIRST_SEQUENCE, [held[each][FIRST_SEQUENCE] for each in ids])
        lake.replace(self.name, rows, key, self._accounts(lake, 0, len(rows)))

    def _stamped(self, events: pa.Table, first: int) -> pa.Table:
        """The columns of the table, but for `_seq`; `first` is that of ids which are new."""
        count = len(events)
        stamps = {
            FORMER: pa.nulls(count, pa.list_(pa.string())),
            FIRST_SEQUENCE: pa.repeat(pa.scalar(first, pa.int64()), count),
            DELETED: pa.repeat(pa.scalar(False), count),
            MONTH: _months(events[self.time]),
        }
        columns = [stamps[name] if name in stamps else events[name] for name in self.schema.names]
        return pa.table(columns, names=self.schema.names).cast(self.schema)


def events(
    name: str,
    contract: type[Contract],
    *,
    reads: EventTopic,
    every: timedelta = timedelta(0),
    **shaped: str,
) -> EventTable:
    """Declare a silver table of events, whose fields are cleaned of surrounding blanks.

    `shaped` gives SQL for columns that take more than that.
    """
    fields = contract_fields(contract)
    cleaned = {
        field.name: f"raw.`{field.name}`" if field.item else f"nullif(trim(raw.`{field.name}`), '')"
        for field in fields
    } | shaped
    columns = ", ".join(f"{sql} as `{column}`" for column, sql in cleaned.items())
    (key,) = (field.name for field in fields if field.is_key)
    query = f"select *, {columns}, xxhash64({cleaned[key]}) as {ID_HASH} from new"
    return EventTable(f"silver.{name}", contract, reads, query, every)


@cache
def _known(place: str, name: str, key: str) -> KnownEvents:
    """This process's memory of a table."""
    return KnownEvents(name, key)


def _latest(events: pa.Table, time: str) -> int:
    """The latest time of events, in microseconds; none that their clocks have yet to reach."""
    times = (events[name].cast(pa.int64()) for name in (time, "_published_at"))
    return pc.max(pc.min_element_wise(*times)).as_py() or NOTHING


def _earlier(events: pa.Table, time: str, watermark: int) -> int:
    """How many events happened before a watermark."""
    return int(pc.sum(pc.less(events[time].cast(pa.int64()), watermark)).as_py() or 0)


def _reasons(event: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Why an event is refused; of one that the engine cannot read at all, nothing is missing."""
    reasons: list[str] = event[REASONS]
    try:
        fields = json.loads(event["_raw"] or "")
        given = {name for name in columns if fields.get(name) is not None}
    # Of what is no object there is no `get`; what is nested too deeply exhausts the stack.
    except (ValueError, AttributeError, RecursionError):
        return [UNREADABLE]
    read = any(event[name] is not None for name in columns)
    return [UNREADABLE] if given and not read else reasons


def _months(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """The months of instants, such as `2011-09`."""
    # There are few, and each is written once; of instants without a zone none is looked up.
    plain = times.cast(pa.timestamp("us"))
    months = pc.floor_temporal(plain, unit="month").combine_chunks().dictionary_encode()
    return pc.strftime(months.dictionary, "%Y-%m").take(months.indices)


def _with(rows: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    """The rows with other values in a column."""
    field = rows.schema.field(name)
    return rows.set_column(rows.column_names.index(name), field, pa.array(values, field.type))
