"""Open-loop latency of tills' events: from when each was to be sent to when a table shows it.

The simulator sends at a set rate, whether or not the platform keeps up, and each event says when it
was to be sent. An event is visible from the commit that has its row: the time of the commit's file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from common import PROJECT, demo, empty_home, invoice_files, show
from deltalake import DeltaTable
from served import Served, serve

SENT_AT = {
    "bronze.pos_events": 'try_cast(regexp_extract(value, \'sent_at":"([^"]+)\', 1) as timestamptz)',
    "silver.pos_events": "sent_at",
    "gold.fct_sales": "sent_at",
}
"""Where the rows of each table say when they were to be sent."""

WARM_UP_RATE, WARM_UP_MINUTES = 100, 0.5
SETTLE_SECONDS = 20
PATIENCE_SECONDS = 240
LATEST = """
query Latest($job: String!) {
  runsOrError(filter: {pipelineName: $job}, limit: 1) {
    ... on Runs { results { status } }
  }
}
"""


def simulate(home: Path, rate: float, minutes: float, seed: int) -> None:
    """Send events of the tills."""
    run = [sys.executable, "-m", "aquifer.cli", "simulate", "--topic", "pos.events"]
    run += ["--rate", str(rate), "--minutes", str(minutes), "--seed", str(seed)]
    environment = {**os.environ, "AQUIFER_HOME": str(home)}
    subprocess.run(run, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, check=True)


def wait_for(up: Served, job: str, status: str) -> None:
    """Wait until the latest run of a job has come to a status."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        runs = up.ask(LATEST, job=job)["runsOrError"]["results"]
        if runs and runs[0]["status"] == status:
            return
        time.sleep(0.5)
    sys.exit(f"no run of {job} has come to {status}; look at {up.home}")


def commits(table: Path) -> Iterator[tuple[int, float]]:
    """The `_seq` of the rows that a commit wrote, and the time of the commit."""
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            stats = json.loads(json.loads(line).get("add", {}).get("stats") or "{}")
            if seq := stats.get("minValues", {}).get("_seq"):
                yield seq, commit.stat().st_mtime


def latencies(home: Path, name: str, since: float) -> list[tuple[object, ...]]:
    """Rows, p50, p95, p99 and the greatest latency in seconds: of all, and of each minute.

    Of what was to be sent since an instant, in seconds since 1970.
    """
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
                from rows join shown using (_seq) where epoch({SENT_AT[name]}) >= {since}
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
    with serve(home) as up:
        up.settle()
        # Few events, which start the runs.
        simulate(home, WARM_UP_RATE, WARM_UP_MINUTES, seed=1)
        for job in ("drain", "downstream"):
            wait_for(up, job, "STARTED")
        time.sleep(SETTLE_SECONDS)
        since = time.time()
        percent = up.processor(simulate, home, given.rate, given.minutes, 2)
        wait_for(up, "drain", "SUCCESS")
    for name in SENT_AT:
        title = f"{given.rate:,.0f} events/s for {given.minutes:g} minutes: seconds to {name}"
        columns = ["of", "rows", "p50", "p95", "p99", "most"]
        show(title, columns, latencies(home, name, since))
    rows = [(name, f"{share:.1f}") for name, share in percent.most_common()]
    show(
        "Processor meanwhile",
        ["process", "% of a core"],
        [*rows, ("all", f"{percent.total():.1f}")],
    )
