"""A process that has everything imported and forks a child for each order that it reads.

A child takes batches of files through the whole platform, table by table, as runs do, on a home of
its own; or it drains the home's event log. It can be killed with SIGKILL once it has written so
much. Forking spares each child the imports; nothing with threads is started before the fork.

Reads a JSON order a line: `home`, `kill_at` (a number of files, or null), `within` (the folders of
the home in which `progress` counts them), `settings` (environment variables of the child); and
`batches` (a list of lists of files to deliver) and `full_refresh`, or `drain` (arguments of `drain`
below). Answers with the exit code.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import progress

import aquifer.flow
import aquifer.warm_preload
from aquifer.dbt_project import failure
from aquifer.downstream import Downstream
from aquifer.drain import Drain
from aquifer.flow import Flow
from aquifer.flow_jobs import DOWNSTREAM, DRAIN
from aquifer.gold import Gold
from aquifer.landing import deliver_files
from aquifer.loops import Loops
from aquifer.runtime import Runtime
from assets import snapshots, tables
from resources.environment import landing_folder, resources

POLL_SECONDS = 0.003


def work(order: dict) -> None:
    """Take each batch through every table."""
    wired = resources()
    for batch in order["batches"]:
        deliver_files([Path(file) for file in batch], landing_folder())
        wired["simulation"].advance()
        advance_everything(wired, full_refresh=False)
    if order.get("full_refresh"):
        advance_everything(wired, full_refresh=True)


def drain(idle_seconds: float, commits_per_compaction: int) -> None:
    """Drain the event log as the jobs do, until no event has come for so long."""
    aquifer.flow.COMMITS_PER_COMPACTION = commits_per_compaction
    wired = resources()
    lake, engine = wired["lake"].lake, wired["engine"]
    reading = wired["events"].reading
    of = (Runtime(engine.spark_session, lake), engine.remote, tables.events, tables.gold)
    with lake.leases.hold([DRAIN]):
        drain = Drain(*of, reading=reading)
        drain.prepare(tables.silver)
        run(drain, idle_seconds)
    with lake.leases.hold([DOWNSTREAM]):
        run(Downstream(*of, streams=tables.stream), 0.0)


def run(flow: Flow, idle_seconds: float) -> None:
    loops = Loops(flow.loops())
    loops.run(lambda: time.monotonic() - loops.found_at >= idle_seconds, every=0.05)


def advance_everything(wired: dict, *, full_refresh: bool) -> None:
    lake = wired["lake"].lake
    for table in tables.bronze:
        with wired[table.resource].reading() as source:
            table.advance(lake, source)
    runtime = Runtime(wired["engine"].spark_session, lake)
    for table in tables.silver:
        advanced = table.advance(runtime)
        assert advanced.accounted, advanced
    for table in tables.stream:
        table.advance(runtime)
    names = sorted(tables.gold.contracts.keys() - {snapshots.SNAPSHOT})
    build(tables.gold, wired, runtime, names, full_refresh, {})
    days = snapshots.touched_days(lake)
    if days or full_refresh:
        first, last = days or snapshots.all_days(lake)
        variables = {"first_day": first.isoformat(), "last_day": last.isoformat()}
        build(tables.gold, wired, runtime, [snapshots.SNAPSHOT], full_refresh, variables)
    store = wired["online"].store
    for view in tables.features:
        if days := view.touched(lake, snapshots.FIRST_DAY):
            view.advance(runtime, store, days, snapshots.FIRST_DAY)


def build(
    gold: Gold, wired: dict, runtime: Runtime, names: list, full_refresh: bool, variables: dict
) -> None:
    events = gold.build(
        runtime, wired["engine"].remote, names, variables=variables, full_refresh=full_refresh
    )
    failures = [reason for event in events if (reason := failure(event))]
    assert not failures, failures


def serve(order: dict) -> int:
    child = os.fork()
    if not child:
        os.environ.update(order["settings"], AQUIFER_HOME=order["home"])
        time.tzset()
        try:
            drain(**order["drain"]) if "drain" in order else work(order)
        except BaseException:  # noqa: BLE001  the child must not go on as the parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if order["kill_at"] is not None:
        kill_once_written(child, order)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_once_written(child: int, order: dict) -> None:
    """Kill the child when its home holds so many files, unless it ends before."""
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if progress.count(Path(order["home"]), order["within"]) >= order["kill_at"]:
            os.kill(child, signal.SIGKILL)
            return
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    for line in sys.stdin:
        print(serve(json.loads(line)), flush=True)
