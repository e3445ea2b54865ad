"""The Dagster UI and daemon as child processes of one command, which end with it.

Belongs here: starting them, passing a signal on, leaving no process and no dead run behind. Does
not: jobs without the daemon (`foreground`).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from dagster import DagsterInstance, RunsFilter
from dagster._core.storage.tags import GRPC_INFO_TAG

from aquifer import signals, warm_client
from aquifer.errors import SettingError
from aquifer.foreground import DEMO, UNFINISHED, close_dead_foreground_runs, close_dead_runs
from aquifer.kept import kept
from aquifer.lease import FileLeases, Leases, LeaseTaken
from aquifer.process_group import POLL_SECONDS, end, members, start
from aquifer.run_process import RunProcess

PATIENCE_SECONDS = 20.0
"""How long Dagster, and then what is left of it, may take to end before it is killed."""

LOOK_SECONDS = 5.0
"""How often to look whether there is a warm server, and a code server."""

CODE_SERVER = b"\0api\0grpc\0"
"""What is in its command line."""

DEV = "ignore:Function `dev_command` is superseded"
"""That there is a newer command for developers says nothing to whoever asked for the UI."""

WARM = "ignore:resource_tracker"
"""That killed runs have left semaphores, which the warm server removes, is no news."""


@contextmanager
def only_server(home: Path, leases: Leases) -> Iterator[None]:
    """Be the only one that serves this platform: two daemons would start every run twice.

    Args:
        leases: those of the lake, which all homes of one platform share.

    Raises:
        SettingError: it is served already.
    """
    with ExitStack() as held:
        try:
            held.enter_context(leases.hold(["server"], wait=False))
        except LeaseTaken as error:
            raise SettingError(
                f"{home} is up already, or another home on the same database is; open its UI, or "
                "end it first with Ctrl-C"
            ) from error
        yield


def close_runs_of_the_dead(home: Path) -> None:
    """Close the runs of killed servers, and of killed demos unless one is at work."""
    with DagsterInstance.get() as instance:
        close_dead_runs(instance, GRPC_INFO_TAG)
        close_dead_warm_runs(instance)
        with suppress(LeaseTaken), FileLeases(home / "leases").hold([DEMO], wait=False):
            close_dead_foreground_runs(instance)


def close_dead_warm_runs(instance: DagsterInstance) -> None:
    """Mark unfinished runs as failed whose process was forked warm and is dead."""
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        process = RunProcess(Path(instance.storage_directory()) / run.run_id)
        if process.warm and not process.pid:
            instance.report_run_failed(run, "Its process ended before the run did.")


def serve(
    host: str, port: int, project: Path, dagster_home: Path, beside: Mapping[str, Sequence[str]]
) -> bool:
    """Serve until a signal; whether it ended because of one.

    Args:
        project: the project's folder, with its `workspace.yaml`.
        beside: commands that run meanwhile, and end with it, by what they are called.
    """
    # Before the start, too: a child inherits an ignored SIGINT (that of a script's background
    # job), and Dagster would then ignore SIGTERM as well. A caught one it does not inherit.
    asked = signals.caught()
    # Its input ends with this process, by kill -9 too; then it ends the group, which is one of its
    # own: a terminal's Ctrl-C would reach all its processes at once, which Dagster ends in order.
    guard = ["sh", "-c", "read _; kill -TERM 0"]
    with subprocess.Popen(guard, stdin=subprocess.PIPE, process_group=0) as leader:
        group = leader.pid
        command = _dagster(host, port, project)
        dagster = kept("Dagster", lambda: start(command, group, DEV), _with_code_server(group))
        others = [
            _warm_servers(host, port, project, dagster_home, group),
            *(kept(name, partial(start, other, group)) for name, other in beside.items()),
        ]
        running: list[subprocess.Popen[bytes]] = []
        for server in dagster:
            running = [server, *filter(None, (next(other, None) for other in others))]
            if asked:
                break
            time.sleep(POLL_SECONDS)
        for process in running:
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in running:
                process.wait(PATIENCE_SECONDS)
    # A run in progress ends as failed, its tables are whole.
    end(group, PATIENCE_SECONDS)
    return bool(asked)


def _dagster(host: str, port: int, project: Path) -> list[str]:
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-h", host, "-p", str(port)]
    return [*command, "-w", str(project / "workspace.yaml")]


def _warm_servers(
    host: str, port: int, project: Path, dagster_home: Path, group: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a warm server, which may be a successor of what was started."""
    command = [sys.executable, "-m", "aquifer.warm_server", str(dagster_home), str(project)]
    command += ["--after", host, str(port)]
    return kept(
        "the warm server",
        lambda: start(command, group, WARM),
        _now_and_then(lambda process: process.poll() is None or warm_client.listens(dagster_home)),
    )


def _with_code_server(group: int) -> Callable[[subprocess.Popen[bytes]], bool]:
    """Whether Dagster runs, and with it its code server, which it does not start again.

    Without one nothing is evaluated and nothing launched, and Dagster goes on as if it were.
    """
    seen: int | None = None

    def serves(dagster: subprocess.Popen[bytes]) -> bool:
        nonlocal seen
        if any(CODE_SERVER in _command_line(process) for process in members(group)):
            seen = dagster.pid
            return True
        # While Dagster starts there is none yet.
        return seen != dagster.pid

    stands = _now_and_then(serves)
    return lambda process: process.poll() is None and stands(process)


def _command_line(process: Path) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (process / "cmdline").read_bytes()
    return b""


def _now_and_then(
    question: Callable[[subprocess.Popen[bytes]], bool],
) -> Callable[[subprocess.Popen[bytes]], bool]:
    """A question that is asked every `LOOK_SECONDS` only; in between the answer is yes."""
    asked = 0.0

    def answer(process: subprocess.Popen[bytes]) -> bool:
        nonlocal asked
        if time.monotonic() < asked + LOOK_SECONDS:
            return True
        asked = time.monotonic()
        return question(process)

    return answer
