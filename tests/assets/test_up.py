"""`aquifer up` serves one home alone, and all its processes end with it."""

import re
import signal
import socket
from pathlib import Path

import pytest
from conftest import dagster_instance, start
from dagster import DagsterRunStatus, RunsFilter
from ups import (
    PATIENCE_SECONDS,
    commands,
    free_port,
    kill_all,
    priorities,
    processes,
    runs,
    until,
    up,
)

from aquifer.flow_jobs import NICENESS
from aquifer.lease import FileLeases
from deploy.servers import listening
from resources import environment


def unfinished(home: Path) -> list[str]:
    """The runs that the home's instance takes for running."""
    if not (home / "dagster" / "history" / "runs.db").exists():
        return []
    with dagster_instance(home) as instance:
        found = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        return [run.run_id for run in found]


def simulated(home: Path) -> bool:
    """Whether events of the simulated tills have come in."""
    with environment.resources({"AQUIFER_HOME": str(home)})["events"].reading() as log:
        return any(log.end_offsets("pos.events").values())


def said(home: Path) -> str:
    """What the command has said so far, warnings of others included."""
    return (home / "said").read_text()


@pytest.fixture
def home(tmp_path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    # Dagster's databases are made here: two processes must not make them at once.
    with dagster_instance(home) as instance:
        instance.get_runs(limit=1)
    return home


def test_a_killed_server_is_succeeded_by_one_that_closes_its_runs_and_ends_whole(home):
    port = free_port()
    leases = FileLeases(home / "leases")
    with leases.hold(["bronze.invoice_lines"]), up(home, port):
        # A sensor's first tick starts a run, maybe before the UI is there; it waits for its table.
        left = until(lambda: unfinished(home))
        kill_all(home)
    assert unfinished(home) == left
    with socket.create_server(("127.0.0.1", port)) as taker, up(home, port) as second:
        address = until(lambda: re.search(r"127[.]0[.]0[.]1:([0-9]+) (.*) in a moment", said(home)))
        other = int(address[1])
        assert other != taker.getsockname()[1]
        assert address[2] == f"(port {port} is taken)"
        statuses = until(lambda: runs(other))
        assert {statuses[run] for run in left} == {"FAILURE"}
        assert not listening(other, "127.0.0.2")
        until(lambda: simulated(home))
        until(lambda: any("aquifer.warm_preload" in line for _, line in commands(home)))
        refused = start("up", "--port", str(free_port()), home=home)
        _, why = refused.communicate(timeout=PATIENCE_SECONDS)
        assert refused.returncode == 1
        assert why.startswith(f"aquifer: {home} is up already")
        assert len(why.splitlines()) == 1
        # Several at once, as a service manager and a terminal may send them.
        for _ in range(20):
            second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_SECONDS) == 0
        assert processes(home) == []


def test_sales_of_the_simulated_tills_come_to_gold_and_what_follows_lets_them_pass(home):
    lake = environment.resources({"AQUIFER_HOME": str(home)})["lake"].lake
    port = free_port()
    with up(home, port, "--host", "0.0.0.0"):
        # An address of this machine that a server of 127.0.0.1 does not have.
        until(lambda: listening(port, "127.0.0.2"))
        until(lambda: lake.exists("gold.fct_sales") and lake.table("gold.fct_sales").count())
        until(lambda: NICENESS in priorities(home))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_signal_while_it_starts_leaves_no_process_behind(home, number, code):
    with up(home, free_port()) as process:
        # The command, Dagster, the simulator, and what ends them when the command is killed.
        until(lambda: len(processes(home)) >= 4)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == code
        until(lambda: not processes(home))
