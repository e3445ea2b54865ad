"""A group of child processes, which ends as a whole.

Belongs here: starting a process of a group, its members, ending what stays. Does not: which
processes they are (`server`), when one is started again (`kept`).
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.1

PROCESSES = Path("/proc")


def start(command: Sequence[str], group: int, unwarned: str = "") -> subprocess.Popen[bytes]:
    """Start a process of a group.

    Args:
        unwarned: what Python does not warn of, as in PYTHONWARNINGS.
    """
    environment = {**os.environ, **({"PYTHONWARNINGS": unwarned} if unwarned else {})}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=group, env=environment)


def members(group: int) -> Iterator[Path]:
    """The folders below `/proc` of what runs of a group.

    In a container nobody may reap what has ended, and the group would seem to last for ever.
    """
    for process in PROCESSES.glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, of_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                yield process


def end(group: int, patience_seconds: float) -> None:
    """Wait for the end of a group, and kill what does not end by itself."""
    deadline = time.monotonic() + patience_seconds
    while _runs(group) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _runs(group: int) -> bool:
    if PROCESSES.is_dir():
        return any(members(group))
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, 0)
        return True
    return False
