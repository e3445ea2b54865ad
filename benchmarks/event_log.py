"""Events written to and read from the embedded event log, by the size of the batches."""

import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from common import empty_home, show

from aquifer.eventlog import PRODUCED, EventLog
from resources.event_log.opening import EMBEDDED, opened

SECONDS = 5.0
"""How long each size is written."""

READ = 200_000
"""Events that one read asks for."""

ROUNDS = 64
"""Different batches that are written in turn, so that nothing compresses better than in life."""


def sale(random_: random.Random) -> bytes:
    """A sale of a few lines, as a till sends it."""
    now = datetime.now(UTC).isoformat()
    lines = [
        {
            "sku": f"{random_.randrange(90_000):05}",
            "quantity": random_.randrange(1, 9),
            "price": f"{random_.random() * 20:.2f}",
            "discount": "0.00",
        }
        for _ in range(random_.randrange(1, 3))
    ]
    event = {
        "event_id": f"{random_.getrandbits(128):032x}",
        "event_time": now,
        "sent_at": now,
        "store": f"S{random_.randrange(50):03}",
        "register": random_.randrange(9),
        "cashier": f"c{random_.randrange(200)}",
        "lines": lines,
        "payment": "card",
    }
    return json.dumps(event).encode()


def batches(size: int) -> list[pa.Table]:
    """Batches of sales, keyed by store."""
    random_ = random.Random(1)
    made = []
    for _ in range(max(2, min(ROUNDS, 200_000 // size))):
        values = [sale(random_) for _ in range(size)]
        stores = [value[value.index(b"S") :][:4] for value in values]
        now = [datetime.now(UTC)] * size
        made.append(pa.table([stores, values, now], schema=PRODUCED))
    return made


def measured(log: EventLog, topic: str, size: int) -> list[str]:
    """Write for a while, then read it all; a line of figures."""
    log.create_topic(topic)
    made = batches(size)
    written = 0
    slowest = 0.0
    started = time.perf_counter()
    while (begun := time.perf_counter()) < started + SECONDS:
        log.produce(topic, made[written // size % len(made)])
        written += size
        slowest = max(slowest, time.perf_counter() - begun)
    writing = time.perf_counter() - started
    started = time.perf_counter()
    assert sum(map(len, read(log, topic))) == written
    reading = time.perf_counter() - started
    octets = sum(table["value"].nbytes for table in made) / sum(map(len, made))
    return [
        f"{size:,}",
        f"{octets:.0f}",
        f"{written / writing:,.0f}",
        f"{1000 * writing * size / written:.2f}",
        f"{1000 * slowest:.0f}",
        f"{written / reading:,.0f}",
    ]


def read(log: EventLog, topic: str) -> Iterator[pa.Table]:
    position = dict(log.begin_offsets(topic))
    while len(events := log.read(topic, position, READ)):
        ends = events.group_by("partition").aggregate([("offset", "max")]).to_pylist()
        position |= {end["partition"]: end["offset_max"] + 1 for end in ends}
        yield events


@contextmanager
def log_of(arguments: list[str]) -> Iterator[tuple[str, EventLog, Path | None]]:
    """The embedded log in a home of its own, or the one whose URL is given."""
    if arguments:
        with opened(arguments[0], Path()) as log:
            yield arguments[0], log, None
    else:
        with empty_home() as home, opened(EMBEDDED, home) as log:
            yield "the embedded log", log, home


with log_of(sys.argv[1:]) as (name, log, folder):
    rows = []
    for size in (20, 1_000, 100_000):
        topic = f"benchmark.{uuid4().hex}"
        figures = measured(log, topic, size)
        stored = (folder / f"{topic}.db").stat().st_size if folder else 0
        held = sum(log.end_offsets(topic).values())
        rows.append([*figures, f"{stored / held:.0f}" if folder else ""])
    show(
        f"Event log: {name}, one process",
        ["batch", "B an event", "written/s", "ms a batch", "at most", "read/s", "B stored"],
        rows,
    )
