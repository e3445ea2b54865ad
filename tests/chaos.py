"""Event histories full of trouble, and a home whose drain is killed again and again within one.

Belongs here: what tests and the benchmark of kills share. Does not: the process that is killed
(`nursery`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import progress
import pyarrow as pa
import pyarrow.parquet as pq

from aquifer.eventlog import PRODUCED
from aquifer.lake import SEQUENCE
from aquifer.landing import LandingFolder
from aquifer.quarantine import quarantine_name
from assets import tables
from assets.silver.pos_events import pos_events
from resources.event_log.opening import EMBEDDED, opened
from resources.simulation.streams.catalogue import catalogue
from resources.simulation.streams.dirt import REPEATS, Dirt, damaged
from resources.simulation.streams.stream import EventStream

START = datetime(2026, 11, 20, 8, 26, tzinfo=UTC)
TOPICS = ["pos.events", "iot.readings"]
EVENTS_A_SECOND = 20
TROUBLED = 0.25
"""The share of events that something happens to."""

BRONZE, SILVER, GOLD = "bronze.pos_events", "silver.pos_events", "gold.fct_sales"
QUARANTINE = quarantine_name(SILVER)
CONFLICT = "conflicting_content"


class Produced(NamedTuple):
    """An event on its way into the log."""

    topic: str
    key: str
    value: bytes


def history(seed: int, events: int) -> list[Produced]:
    """A simulated history of so many events with far more trouble than there is in reality.

    Events are repeated, contradicted, voided, cut off and damaged in all ways that the simulator
    knows; what follows from one may come before it.
    """
    dice = Random(seed)
    nowhere = Path("/nonexistent")
    known = catalogue(nowhere / "orders.db", nowhere / "rewards.db", LandingFolder(nowhere), seed)
    stream = EventStream(seed, START, EVENTS_A_SECOND, known, TOPICS, clean=True)
    sent: list[tuple[float, Produced]] = []
    slot = 0
    while len(sent) < events:
        for topic, table in stream.batch(slot, slot + 1).events.items():
            for row in table.to_pylist():
                event = Produced(topic, row["key"].decode(), row["value"])
                sent += [(slot + lag, each) for lag, each in _troubled(event, dice)]
        slot += 1
    return [event for _, event in sorted(sent, key=lambda at: at[0])][:events]


def _troubled(event: Produced, dice: Random) -> Iterator[tuple[float, Produced]]:
    """What is sent of an event, each with how many events later, or before."""
    fields = json.loads(event.value)
    if dice.random() >= TROUBLED or fields["type"] == "void":
        yield 0.0, event
        return
    what = dice.choice([*Dirt, "voided"])
    lag = dice.uniform(-60, 60)
    if what in REPEATS or what == "voided":
        yield 0.0, event
    if what == "voided":
        if fields["type"] in ("sale", "return"):
            yield lag, event._replace(value=void_of(fields))
    elif what in (Dirt.repeated, Dirt.repeated_late):
        yield lag, event
    else:
        key, value = damaged(Dirt(what), event.key, event.value.decode(), dice)
        yield lag, Produced(event.topic, key, value)


def void_of(sale: Mapping[str, Any]) -> bytes:
    """The event that voids a sale."""
    other = sale["event_id"][:-4] + "0000"
    void = {**sale, "event_id": other, "type": "void", "voids": sale["event_id"]}
    return json.dumps({**void, "lines": None, "payment": None}).encode()


def produce(folder: Path, events: Sequence[Produced], url: str = EMBEDDED) -> None:
    """Append events to the log of a URL, the embedded one in a folder, in one batch a topic."""
    by_topic: dict[str, list[Produced]] = defaultdict(list)
    for event in events:
        by_topic[event.topic].append(event)
    with opened(url, folder) as log:
        for topic, sent in by_topic.items():
            log.create_topic(topic)
            rows = [{"key": e.key.encode(), "value": e.value, "timestamp": START} for e in sent]
            log.produce(topic, pa.Table.from_pylist(rows, PRODUCED))


def take_in(nursery: Any, home: Any, events: Sequence[Produced], **settings: str) -> None:
    """Let a home drain more events, undisturbed; settings are those of the drain."""
    produce(home.folder / "events", events)
    assert nursery.drain(home, **settings) == 0


def content(lake: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a table without the columns of the platform."""
    rows = lake.read(name).to_pylist()
    return [{c: v for c, v in row.items() if not c.startswith("_")} for row in rows]


@dataclass
class Undisturbed:
    """A home that has drained a whole history at once, and what any other may hold on its way."""

    home: Any

    @cached_property
    def received(self) -> dict[tuple[int, int], Any]:
        rows = self.home.lake.read(BRONZE).to_pylist()
        return {(row["_partition"], row["_offset"]): row["value"] for row in rows}

    @cached_property
    def events(self) -> dict[str, dict[str, Any]]:
        return {row["event_id"]: row for row in content(self.home.lake, SILVER)}

    @cached_property
    def refused(self) -> dict[str, dict[str, Any]]:
        return {row["position"]: row for row in content(self.home.lake, QUARANTINE)}

    @cached_property
    def lines(self) -> dict[str, dict[str, Any]]:
        return {row["sale_line_id"]: row for row in content(self.home.lake, GOLD)}

    @cached_property
    def unsteady(self) -> set[str]:
        """The ids of events that another content or a void may change later."""
        contested = {
            event_id(row["raw"]) for row in self.refused.values() if CONFLICT in row["reasons"]
        }
        return {*contested, *(row["voids"] for row in self.events.values())} - {None}

    def wrong(self, home: Any) -> list[str]:
        """What in a home differs from what an undisturbed drain would have left of its events."""
        lake, wrong = home.lake, []
        if not lake.exists(BRONZE):
            return []
        rows = lake.read(BRONZE, ["_partition", "_offset", "value", SEQUENCE]).to_pylist()
        received = {(row["_partition"], row["_offset"]): row for row in rows}
        marks = lake.marks(BRONZE, [f"pos.events/{n}" for n in range(10)])
        if len(received) != len(rows):
            wrong.append("bronze holds an event twice")
        if {*received} != {
            (int(m.split("/")[1]), n) for m, end in marks.items() for n in range(end)
        }:
            wrong.append("bronze holds other events than its marks say")
        if any(row["value"] != self.received[at] for at, row in received.items()):
            wrong.append("bronze holds other values")
        reached = lake.progress(SILVER, BRONZE)
        taken = {event_id(row["value"]) for row in rows if row[SEQUENCE] <= reached}
        if lake.exists(SILVER):
            wrong += self._events_wrong(home, taken)
        if lake.exists(SILVER) and lake.exists(QUARANTINE) and pos_events.standing(lake).lost:
            wrong.append("silver misses rows, or has too many, by its own account")
        if lake.exists(QUARANTINE):
            wrong += self._refused_wrong(home, received, reached)
        if lake.exists(GOLD) and lake.settled(GOLD):
            wrong += self._lines_wrong(home)
        return wrong

    def _events_wrong(self, home: Any, taken: set[str | None]) -> Iterator[str]:
        rows = content(home.lake, SILVER)
        events = {row["event_id"]: row for row in rows}
        if len(events) != len(rows):
            yield "silver holds an event twice"
        expected = self.events.keys() & taken
        if {*events} - self.unsteady != expected - self.unsteady:
            yield "silver holds other events"
        if any(events[e] != self.events[e] for e in events.keys() & expected - self.unsteady):
            yield "silver holds other contents"

    def _refused_wrong(self, home: Any, received: Mapping[Any, Any], reached: int) -> Iterator[str]:
        rows = content(home.lake, QUARANTINE)
        refused = {row["position"]: row for row in rows}
        if len(refused) != len(rows):
            yield "the quarantine holds an event twice"
        if any(self.refused.get(at) != row for at, row in refused.items()):
            yield "the quarantine holds other events"
        due = {
            f"pos.events/{partition}/{offset}"
            for (partition, offset), row in received.items()
            if row[SEQUENCE] <= reached
        }
        settled = {at for at, row in self.refused.items() if CONFLICT not in row["reasons"]}
        if not (settled & due) <= refused.keys():
            yield "a refused event is not in the quarantine"

    def _lines_wrong(self, home: Any) -> Iterator[str]:
        lake = home.lake
        reached = tables.gold.appended_to(lake, GOLD)[SILVER]
        seen = lake.read(SILVER, ["event_id", SEQUENCE]).to_pylist()
        taken = {row["event_id"] for row in seen if row[SEQUENCE] <= reached} - self.unsteady
        rows = [row for row in content(lake, GOLD) if row["invoice_no"] not in self.unsteady]
        lines = {row["sale_line_id"]: row for row in rows}
        if len(lines) != len(rows):
            yield "gold holds a line twice"
        expected = {i: row for i, row in self.lines.items() if row["invoice_no"] in taken}
        if lines != expected:
            yield "gold holds other lines"


def event_id(raw: str | None) -> str | None:
    try:
        return json.loads(raw or "").get("event_id")
    except (ValueError, AttributeError):
        return None


@dataclass
class Wreck:
    """What kills have left of a home, each told apart by what it has cut off."""

    home: Any
    seen: set[Path] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)

    def look(self) -> None:
        """See where the latest kill has fallen."""
        lake = self.home.lake
        found = {state for name in lake.names() for state in self._unfinished(name)}
        progress = [lake.seq(BRONZE) if lake.exists(BRONZE) else -1]
        progress.append(lake.progress(SILVER, BRONZE))
        if progress[0] > progress[1]:
            found.add("in bronze, not in silver")
        if lake.progress(QUARANTINE, BRONZE) > progress[1]:
            found.add("in the quarantine, not in silver")
        if lake.seq(SILVER) > lake.progress(GOLD, SILVER):
            found.add("in silver, not in gold")
        if lake.exists(GOLD) and not lake.settled(GOLD):
            found.add("in gold, not recorded")
        self.states.update(found or {"at rest"})

    def _unfinished(self, name: str) -> Iterator[str]:
        """Data files that the latest run has written and not committed."""
        folder = Path(self.home.lake.uri(name))
        written = {file for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts}
        fresh, self.seen = written - self.seen, self.seen | written
        if not fresh:
            return
        log = "".join(c.read_text() for c in (folder / "_delta_log").glob("*.json"))
        for file in fresh:
            if file.name not in log:
                yield f"{name} {_kind(file)}"


def _kind(file: Path) -> str:
    """Of a file that no commit names: what its writer was about."""
    try:
        seqs = pq.read_table(file, columns=[SEQUENCE], partitioning=None)[SEQUENCE]
    except (pa.ArrowInvalid, OSError):
        return "half-written"
    return "compacted, not committed" if len(seqs.unique()) > 1 else "written, not committed"


@dataclass(frozen=True)
class Point:
    """Where to kill a drain.

    Args:
        files: it is killed when it has written at most so many, at random.
        folders: of the lake, in which files are counted; the fewer, the sooner it is killed.
        ends: whether no more events come, so that it ends by building the marts.
    """

    files: int
    folders: Sequence[str]
    ends: bool = False


BRONZE_AT, SILVER_AT, GOLD_AT = "bronze/pos_events", "silver/pos_events", "gold/fct_sales"
QUARANTINE_AT = quarantine_name(SILVER_AT)
CREATION = Point(70, [""])
POINTS = [
    Point(12, [BRONZE_AT, SILVER_AT, QUARANTINE_AT, GOLD_AT]),
    Point(4, [BRONZE_AT]),
    Point(2, [QUARANTINE_AT]),
    Point(4, [SILVER_AT]),
    Point(3, [GOLD_AT]),
]
"""All that one round writes: of a table a file, its commit, a compacted file and its commit."""
MARTS = [Point(8, [GOLD_AT], ends=True), Point(3, ["gold/daily_sales"], ends=True)]
MARTS_EVERY = 10
"""Building the marts takes longest by far."""

STATES = {
    "in bronze, not in silver": Point(2, [BRONZE_AT]),
    "in the quarantine, not in silver": Point(2, [QUARANTINE_AT]),
    "in silver, not in gold": Point(2, [SILVER_AT]),
    "in gold, not recorded": Point(2, [GOLD_AT]),
    "written, not committed": Point(1, [GOLD_AT]),
    "compacted, not committed": Point(3, [BRONZE_AT]),
}
"""What kills have to leave behind, and where each is likely."""
MOST_ATTEMPTS = 40

A_PIECE = 8
PIECES_A_KILL = 4
PIECE_SECONDS = 0.1


class Killings:
    """A home whose live drain is killed at random points, each time going on with the next.

    Args:
        nursery: of the drains.
        home: a new home.
        undisturbed: what the home is held against after each kill.
        events: those that are sent, the same as in the other home.
        log: URL of the event log.
    """

    def __init__(
        self,
        nursery: Any,
        home: Any,
        undisturbed: Undisturbed,
        events: list[Produced],
        seed: int,
        log: str = EMBEDDED,
    ) -> None:
        self.wreck = Wreck(home)
        self.kills = 0
        self._drain = partial(nursery.drain, home, AQUIFER_EVENT_LOG=log)
        self._log = log
        self._home = home
        self._undisturbed = undisturbed
        self._pieces = [events[n : n + A_PIECE] for n in range(0, len(events), A_PIECE)]
        self._dice = Random(seed)

    def kill(self, kills: int) -> None:
        """Kill so many drains, and then some until each of `STATES` was seen."""
        self._kill(CREATION)
        while self.kills < kills:
            places = MARTS if self.kills % MARTS_EVERY == MARTS_EVERY - 1 else POINTS
            self._kill(self._dice.choice(places))
        attempts = 0
        while missing := [state for state in STATES if not self._seen(state)]:
            attempts += 1
            assert attempts <= MOST_ATTEMPTS, f"no kill left anything {missing[0]}"
            self._kill(STATES[missing[0]])

    def finish(self) -> None:
        """Send what is left, and drain undisturbed."""
        self._produce(len(self._pieces))
        assert self._drain() == 0

    def _seen(self, state: str) -> bool:
        return any(found.endswith(state) for found in self.wreck.states)

    def _kill(self, point: Point) -> None:
        """Kill a drain into which events come, unless it ends before."""
        within = [f"lake/{folder}" for folder in point.folders]
        files = progress.count(self._home.folder, within) + self._dice.randint(1, point.files)
        self._produce(PIECES_A_KILL if point.ends else 1)
        drain = partial(
            self._drain,
            kill_at=files,
            within=within,
            idle_seconds=0 if point.ends else 1,
            commits_per_compaction=1,
        )
        with ThreadPoolExecutor(1) as pool:
            draining = pool.submit(drain)
            for _ in range(0 if point.ends else PIECES_A_KILL - 1):
                wait([draining], timeout=PIECE_SECONDS)
                self._produce(1)
        code = draining.result()
        assert code in (0, -9), code
        self.kills += code == -9
        self.wreck.look()
        wrong = self._undisturbed.wrong(self._home)
        assert not wrong, f"after {self.kills} kills: {wrong}"

    def _produce(self, pieces: int) -> None:
        for piece in self._pieces[:pieces]:
            produce(self._home.folder / "events", piece, self._log)
        del self._pieces[:pieces]
