"""Child processes that are started again when they end by themselves.

Belongs here: when a process is started again, and when not any more. Does not: which processes a
command keeps (`server`).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from aquifer.run_process import ended

STEADY_SECONDS = 60.0
"""Who lived as long did start well, and is started again at once."""

MOST_ATTEMPTS = 5
"""How often in a row a process may end before that: what is wrong does not pass by itself."""

LONGEST_PAUSE_SECONDS = 30.0


def kept(
    name: str,
    start: Callable[[], subprocess.Popen[bytes]],
    lives: Callable[[subprocess.Popen[bytes]], bool] = lambda process: process.poll() is None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a process alive: each step looks whether it lives, and gives the latest.

    It is started again ever later, and ends with the last of too many attempts.

    Args:
        name: what it is called when its end is told.
        lives: whether it does its work; its successors may do that. If not, it is ended.
    """
    attempts = 0
    while attempts < MOST_ATTEMPTS:
        begun = time.monotonic()
        process = start()
        while lives(process):
            yield process
        if process.poll() is None:
            process.terminate()
            process.wait()
        steady = time.monotonic() - begun > STEADY_SECONDS
        attempts = 1 if steady else attempts + 1
        print(f"aquifer: {name} {ended(process.returncode)}", file=sys.stderr, flush=True)
        again = time.monotonic() + min(2.0**attempts - 2.0, LONGEST_PAUSE_SECONDS)
        while time.monotonic() < again:
            yield process
