"""The Dagster UI and daemon as child processes of one command, which end with it.

Belongs here: starting them, passing a signal on, leaving no process and no dead run behind. Does
not: jobs without the daemon (`foreground`).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.storage.tags import GRPC_INFO_TAG

from aquifer import signals
from aquifer.errors import SettingError
from aquifer.foreground import DEMO, close_dead_runs
from aquifer.lease import FileLeases, LeaseTaken

PATIENCE_SECONDS = 20.0
"""How long Dagster, and then what is left of it, may take to end before it is killed."""

POLL_SECONDS = 0.1

PROCESSES = Path("/proc")


@contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Be the only one that serves this home: two daemons would start every run twice.

    Raises:
        SettingError: it is served already.
    """
    with ExitStack() as held:
        try:
            held.enter_context(FileLeases(home / "leases").hold(["server"], wait=False))
        except LeaseTaken as error:
            raise SettingError(
                f"{home} is up already; open its UI, or end it first with Ctrl-C"
            ) from error
        yield


def close_runs_of_the_dead(home: Path) -> None:
    """Close the runs of killed servers, and of killed demos unless one is at work."""
    with DagsterInstance.get() as instance:
        close_dead_runs(instance, GRPC_INFO_TAG)
        with suppress(LeaseTaken), FileLeases(home / "leases").hold([DEMO], wait=False):
            close_dead_runs(instance)


def serve(port: int, workspace: Path, beside: Sequence[Sequence[str]] = ()) -> bool:
    """Serve on 127.0.0.1 until a signal; whether it ended because of one.

    Args:
        beside: commands that run meanwhile, and end with it.
    """
    # Before the start, too: a child inherits an ignored SIGINT (that of a script's background
    # job), and Dagster would then ignore SIGTERM as well. A caught one it does not inherit.
    asked = signals.caught()
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-h", "127.0.0.1"]
    command += ["-p", str(port), "-w", str(workspace)]
    # A group of its own: a terminal's Ctrl-C would reach all its processes at once, which Dagster
    # ends in order.
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # That there is a newer command for developers says nothing to whoever asked for the UI.
        env={**os.environ, "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded"},
    )
    # Its input ends with this process, by kill -9 too; then it ends the group.
    guard = ["sh", "-c", "read _; kill -TERM 0"]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, process_group=server.pid):
        others = [
            subprocess.Popen(other, stdin=subprocess.DEVNULL, process_group=server.pid)
            for other in beside
        ]
        while server.poll() is None and not asked:
            time.sleep(POLL_SECONDS)
        for process in (server, *others):
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in (server, *others):
                process.wait(PATIENCE_SECONDS)
    _kill_what_stays(server.pid)
    return bool(asked)


def _kill_what_stays(group: int) -> None:
    """Kill what does not end by itself. A run in progress ends as failed, its tables are whole."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _runs(group) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _runs(group: int) -> bool:
    """Whether a process of the group still runs."""
    if not PROCESSES.is_dir():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            return True
        return False
    # In a container nobody may reap what has ended, and the group would seem to last for ever.
    for process in PROCESSES.glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, of_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                return True
    return False
