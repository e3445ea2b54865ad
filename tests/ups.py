"""`aquifer up` on a home, with simulated events: its processes, its UI, and what it has said."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import PROJECT

from deploy.servers import free_ports

PATIENCE_SECONDS = 300


def until(condition: Callable[[], object]) -> object:
    """The condition's first true value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true"
        time.sleep(0.1)
    return value


def processes(home: Path) -> list[int]:
    """The processes that work for a home, whoever started them."""
    setting = f"AQUIFER_HOME={home}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if setting in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def commands(home: Path) -> Iterator[tuple[int, str]]:
    """The processes that work for a home, each with its command line."""
    for process in processes(home):
        with suppress(OSError):
            yield process, Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")


def priorities(home: Path) -> set[int]:
    """The priorities of the processes that work for a home."""
    found = set()
    for process in processes(home):
        with suppress(ProcessLookupError):
            found.add(os.getpriority(os.PRIO_PROCESS, process))
    return found


def free_port() -> int:
    (port,) = free_ports(1)
    return port


@contextmanager
def up(home: Path, port: int, *options: str, **settings: str) -> Iterator[subprocess.Popen]:
    """The command as a script's background job, which ignores SIGINT."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aquifer.cli", "up", "--port", str(port), "--simulate", *options],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_HOME": str(home), **settings},
        stdout=(home / "said").open("w"),
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield process
    finally:
        kill_all(home)
        process.wait()


def kill_all(home: Path) -> None:
    while alive := processes(home):
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def ask(port: int, question: str) -> dict:
    """The UI's answer to a GraphQL question; nothing while it is not there."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": question}).encode(),
        {"Content-Type": "application/json"},
    )
    with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["data"]
    return {}


def runs(port: int) -> dict[str, str]:
    answer = ask(port, "{ runsOrError { ... on Runs { results { runId status } } } }")
    return (
        {run["runId"]: run["status"] for run in answer["runsOrError"]["results"]} if answer else {}
    )
