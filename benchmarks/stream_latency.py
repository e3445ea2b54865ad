"""Open-loop latency of tills' events: from when each was to be sent to when a table shows it.

The simulator sends at a set rate, whether or not the platform keeps up, and each event says when it
was to be sent. An event is visible from the commit that has its row: the time of the commit's file.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen

import duckdb
import pyarrow as pa
from common import PROJECT, demo, empty_home, invoice_files, show
from deltalake import DeltaTable

from aquifer.lease import FileLeases, LeaseTaken

SENT_AT = {
    "bronze.pos_events": 'try_cast(regexp_extract(value, \'sent_at":"([^"]+)\', 1) as timestamptz)',
    "silver.pos_events": "sent_at",
    "gold.fct_sales": "sent_at",
}
"""Where the rows of each table say when they were to be sent."""

PATIENCE_SECONDS = 120


def aquifer(home: Path, *arguments: str) -> Popen[bytes]:
    return Popen(
        [sys.executable, "-m", "aquifer.cli", *arguments],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_HOME": str(home)},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )


def wait_for_drain(home: Path) -> None:
    """Wait until the drain has the lease."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with FileLeases(home / "leases").hold(["drain"], wait=False):
                time.sleep(0.1)
        except LeaseTaken:
            return
    sys.exit("the drain has not begun")


def commits(table: Path) -> Iterator[tuple[int, float]]:
    """The `_seq` of the rows that a commit wrote, and the time of the commit."""
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            stats = json.loads(json.loads(line).get("add", {}).get("stats") or "{}")
            if seq := stats.get("minValues", {}).get("_seq"):
                yield seq, commit.stat().st_mtime


def latencies(home: Path, name: str) -> list[tuple[object, ...]]:
    """Rows, p50, p95, p99 and the greatest latency in seconds: of all, and of each minute."""
    place = home / "lake" / name.replace(".", "/")
    shown: dict[int, float] = {}
    for seq, at in commits(place):
        shown.setdefault(seq, at)
    column = "value" if name.startswith("bronze") else "sent_at"
    with duckdb.connect() as connection:
        rows = DeltaTable(str(place)).to_pyarrow_table(columns=[column, "_seq"])
        connection.register("rows", rows)
        connection.register("shown", pa.table({"_seq": [*shown], "shown": [*shown.values()]}))
        return connection.sql(
            f"""
            with late as (
                select shown - epoch({SENT_AT[name]}) as s, epoch({SENT_AT[name]}) as sent
                from rows join shown using (_seq) where {SENT_AT[name]} is not null
            )
            select coalesce('minute ' || minute, 'all'), count(*), round(quantile_cont(s, 0.5), 2),
                round(quantile_cont(s, 0.95), 2), round(quantile_cont(s, 0.99), 2),
                round(max(s), 2)
            from (
                select s, 1 + cast(floor((sent - min(sent) over ()) / 60) as int) as minute
                from late
            )
            group by rollup (minute) order by minute nulls first
            """
        ).fetchall()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rate", type=float, default=2000, help="events a second")
parser.add_argument("--minutes", type=float, default=5)
parser.add_argument("--home", type=Path, help="an AQUIFER_HOME to keep")
given = parser.parse_args()
with empty_home() as temporary:
    home = given.home or temporary
    demo(home, invoice_files()[:5])
    begun = time.monotonic()
    drain = aquifer(home, "drain", "--minutes", str(given.minutes + 5), "--idle-seconds", "15")
    wait_for_drain(home)
    time.sleep(5)
    sent = aquifer(
        home,
        "simulate",
        "--rate",
        str(given.rate),
        "--minutes",
        str(given.minutes),
        "--topic",
        "pos.events",
    )
    sent.wait()
    _, status, usage = os.wait4(drain.pid, 0)
    if status:
        sys.exit(f"the drain failed; run it by hand with AQUIFER_HOME={home}")
    cpu = (usage.ru_utime + usage.ru_stime) / (time.monotonic() - begun)
    for name in SENT_AT:
        title = f"{given.rate:,.0f} events/s for {given.minutes:g} minutes: seconds to {name}"
        show(title, ["of", "rows", "p50", "p95", "p99", "most"], latencies(home, name))
    print(f"the drain took {cpu:.0%} of a core and {usage.ru_maxrss / 1024:,.0f} MiB")
