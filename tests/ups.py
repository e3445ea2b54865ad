"""`aquifer up` on a home, with simulated events: its processes, its UI, and what it has said."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import PROJECT

PATIENCE_SECONDS = 180


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


def commands(home: Path) -> str:
    """The command lines of the processes that work for a home."""
    said = ""
    for process in processes(home):
        with suppress(OSError):
            said += Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    return said


def priorities(home: Path) -> set[int]:
    """The priorities of the processes that work for a home."""
    found = set()
    for process in processes(home):
        with suppress(ProcessLookupError):
            found.add(os.getpriority(os.PRIO_PROCESS, process))
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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


def listening(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex((host, port))


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
