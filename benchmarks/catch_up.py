"""Catch-up: waiting events of the tills to validated, deduplicated silver, beside Spark.

Ours are the drain's first two loops, on an event log that holds the events already. The peer is
Spark Structured Streaming (`structured_streaming.py`) on the same events, which wait for it in
Parquet files. Neither start-up nor the first events, which warm both up, are counted.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from common import PROJECT, empty_home, show

from aquifer.drain import Drain
from aquifer.loops import Loops
from aquifer.quarantine import quarantine_name
from aquifer.runtime import Runtime
from aquifer.silver_events import CONFLICT
from assets import tables
from assets.silver.pos_events import pos_events
from resources import environment

TOPIC = pos_events.reads.topic
START = datetime(2026, 3, 1, tzinfo=UTC)
RATE = 2_000
"""Events a second by the tills' clocks."""

WARM_UP = 100_000
AT_ONCE = 20_000
EVENTS_PER_FILE = 100_000
PEER_MINUTES = 60


class Took(NamedTuple):
    """Seconds by the wall and of the processor, all threads together."""

    wall: float
    cpu: float


class Ours:
    """A platform in a home, with its engine in this process."""

    def __init__(self, home: Path) -> None:
        wired = environment.resources({"AQUIFER_HOME": str(home)})
        self.lake = wired["lake"].lake
        self.lake.check()
        self._runtime = Runtime(wired["engine"].spark_session, self.lake)
        self._reading = wired["events"].reading
        self._stream = wired["simulation"].live(START, RATE, topics=[TOPIC])
        self._sent = 0
        self._drain = Drain(
            self._runtime,
            wired["engine"].remote,
            [pos_events],
            tables.gold,
            reading=self._reading,
        )

    def produce(self, count: int) -> int:
        """Let the next events wait in the log; the bytes of their values."""
        octets, last = 0, self._sent + count
        with self._reading() as log:
            for first in range(self._sent, last, AT_ONCE):
                batch = self._stream.batch(first, min(first + AT_ONCE, last))
                log.produce(TOPIC, batch.events[TOPIC])
                octets += sum(map(len, batch.events[TOPIC]["value"].to_pylist()))
        self._sent = last
        return octets

    def events(self) -> Iterator[pa.Table]:
        """What the log holds: what warms up first, then files' worths."""
        limit = WARM_UP
        with self._reading() as log:
            position = dict(log.begin_offsets(TOPIC))
            while len(events := log.read(TOPIC, position, limit)):
                ends = events.group_by("partition").aggregate([("offset", "max")]).to_pylist()
                position |= {end["partition"]: end["offset_max"] + 1 for end in ends}
                limit = EVENTS_PER_FILE
                yield events

    def both(self) -> None:
        """Bronze and silver beside each other, until nothing waits."""
        bronze, silver, *_ = self._drain.loops()
        Loops([bronze, silver]).run(lambda: True, every=1.0)

    def bronze(self) -> None:
        with self._reading() as log:
            pos_events.reads.advance(self.lake, log)

    def silver(self) -> None:
        upstream = pos_events.reads.name
        while self.lake.seq(upstream) > self.lake.progress(pos_events.name, upstream):
            self._drain.tally.add(pos_events.advance(self._runtime))

    def counts(self) -> Mapping[str, int]:
        """Where the events are; how many."""
        advances, _ = self._drain.tally.take()
        (duplicates,) = (each.duplicates for each in advances if each.table == pos_events.name)
        refused = self.lake.read(quarantine_name(pos_events.name), ["reasons"])
        reasons = refused["reasons"].to_pylist()
        return {
            "bronze": self.lake.table(pos_events.reads.name).count(),
            "silver": self.lake.table(pos_events.name).count(),
            "refused": len(reasons),
            "conflicts": reasons.count([CONFLICT]),
            "duplicates": duplicates,
        }

    def stored(self) -> Mapping[str, float]:
        """The bytes that an event takes in the files of each table."""
        tables = {"bronze": pos_events.reads.name, "silver": pos_events.name}
        files = {
            layer: pa.table(self.lake.table(name).get_add_actions(flatten=True))
            for layer, name in tables.items()
        }
        return {
            layer: pc.sum(each["size_bytes"]).as_py() / pc.sum(each["num_records"]).as_py()
            for layer, each in files.items()
        }


def took(work: Callable[[], None]) -> Took:
    """What work in this process took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def peer(ours: Ours, folder: Path) -> dict[str, list[float] | int]:
    """The peer's figures on the events in the log."""
    source, new, written = (folder / name for name in ("source", "new", "written"))
    for place in (source, new, written):
        place.mkdir()
    for number, events in enumerate(ours.events()):
        pq.write_table(events, (new if number else source) / f"{number:05}.parquet")
    # Not a client of the engine in this process, which pyspark has noted there.
    inherited = {name: value for name, value in os.environ.items() if "SPARK" not in name}
    ran = subprocess.run(
        [sys.executable, Path(__file__).with_name("structured_streaming.py"), source, new, written],
        cwd=PROJECT,
        env={**inherited, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'platform'}"},
        capture_output=True,
        text=True,
        timeout=PEER_MINUTES * 60,
    )
    if ran.returncode:
        sys.exit(f"Structured Streaming failed:\n{ran.stderr[-4000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


def check(ours: Mapping[str, int], events: int, peers: Mapping[str, object] | None) -> None:
    """End the program when an event is nowhere, or the peer has come to another result."""
    accounted = ours["silver"] + ours["refused"] + ours["duplicates"]
    if not ours["bronze"] == accounted == events:
        sys.exit(f"of {events} events there are {dict(ours)}")
    if peers is None:
        return
    # The peer takes another content of an id for a duplicate.
    expected = (events, ours["silver"], ours["refused"] - ours["conflicts"])
    if (peers["bronze_rows"], peers["silver_rows"], peers["refused_rows"]) != expected:
        sys.exit(f"Structured Streaming came to {dict(peers)}, and ours to {dict(ours)}")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--events", type=int, default=1_000_000)
parser.add_argument("--alone", action="store_true", help="without the peer")
given = parser.parse_args()


def line(what: str, figures: Took) -> tuple[str, ...]:
    wall, cpu = figures
    cores = f"{cpu / wall:.2f}"
    return what, f"{wall:.1f}", f"{cpu:.1f}", cores, f"{given.events / wall:,.0f}"


with empty_home() as home:
    ours = Ours(home)
    ours.produce(WARM_UP)
    ours.both()
    octets = ours.produce(given.events)
    together = took(ours.both)
    counts = ours.counts()
    peers = None if given.alone else peer(ours, home)
    check(counts, WARM_UP + given.events, peers)
    ours.produce(given.events)
    rows = [
        line("bronze and silver beside each other", together),
        line("bronze alone, on as many events again", took(ours.bronze)),
        line("silver alone", took(ours.silver)),
    ]
    if peers is not None:
        bronze, silver = (Took(*peers[name]) for name in ("bronze", "silver"))
        spark = Took(bronze.wall + silver.wall, bronze.cpu + silver.cpu)
        rows += [
            line("Structured Streaming: bronze, then silver", spark),
            line("its bronze", bronze),
            line("its silver", silver),
        ]
    show(
        f"Catch-up: {given.events:,} events of {octets / given.events:.0f} B",
        ["what", "wall s", "processor s", "cores", "events/s"],
        rows,
    )
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()), "(warm-up included)")
    print(
        *(f"{size:.0f} B stored an event in {layer}" for layer, size in ours.stored().items()),
        sep=", ",
    )
    print("load of the machine over 1, 5 and 15 minutes:", *os.getloadavg())
    if peers is not None:
        print(f"{spark.wall / together.wall:.1f} times Structured Streaming's events/s")
