"""The process of a run that was forked warm: a file that it locks while it lives.

Belongs here: whose a run is, whether its process lives, ending it, what it printed. Does not:
starting it (`warm_launcher`, `warm_server`), what it does (`warm_run`). Nothing here needs the
server: a process is looked after when that has died.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

AGAIN_SECONDS = 0.5

TAIL_BYTES = 2000


@dataclass(frozen=True)
class RunProcess:
    """The process of one run.

    Args:
        folder: what Dagster keeps of the run's output; removed with the run.
    """

    folder: Path

    @property
    def _file(self) -> Path:
        """Locked by the process while it lives, which the kernel ends with it; holds its id."""
        return self.folder / "process"

    @property
    def output(self) -> Path:
        """What the process prints, but for what its steps do: that Dagster captures."""
        return self.folder / "process.log"

    @property
    def warm(self) -> bool:
        """Whether the run was left to a warm process."""
        return self._file.exists()

    def offer(self) -> None:
        """Leave the run to the process that claims it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file.touch()

    def withdraw(self) -> bool:
        """Take an offer back: nobody can claim it any more. False if it was claimed before."""
        with self._locked() as locked:
            if locked and not self._written():
                self._file.unlink()
                return True
        return False

    @contextmanager
    def claim(self) -> Iterator[bool]:
        """Be the process of this run, whose output goes to `output`; False if it may not be."""
        with self._locked(wait=True) as locked:
            mine = locked and self.warm and not self._written()
            if mine:
                self._file.write_text(str(os.getpid()))
                with self.output.open("ab", buffering=0) as output:
                    for stream in (sys.stdout, sys.stderr):
                        os.dup2(output.fileno(), stream.fileno())
            yield mine

    @property
    def pid(self) -> int | None:
        """The id of the process, None when it has ended or has not begun."""
        with self._locked() as locked:
            return None if locked else int(self._written() or 0) or None

    def interrupt(self) -> bool:
        """Ask the process to end; False when there is none.

        Not by SIGINT: that the engine takes too, and ends while the run still asks it.
        """
        return self._send(signal.SIGTERM)

    def end(self, patience_seconds: float) -> None:
        """Ask the process to end until it does, and kill it if that takes too long.

        Again and again: Dagster takes the first interrupt of a step for a fault that may pass, and
        tries the step again if it has a retry policy.
        """
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            if not self.interrupt():
                return
            time.sleep(AGAIN_SECONDS)
        self._send(signal.SIGKILL)

    def last_words(self) -> str:
        """The end of what the process printed."""
        with suppress(FileNotFoundError), self.output.open("rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL_BYTES))
            return output.read().decode(errors="replace").strip()
        return ""

    def _send(self, number: signal.Signals) -> bool:
        pid = self.pid
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def _written(self) -> str:
        with suppress(FileNotFoundError):
            return self._file.read_text()
        return ""

    @contextmanager
    def _locked(self, *, wait: bool = False) -> Iterator[bool]:
        """Whether the lock was free, and is held now; so it also is when there is no file."""
        try:
            handle = os.open(self._file, os.O_RDWR)
        except FileNotFoundError:
            yield True
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            locked = True
        except BlockingIOError:
            locked = False
        try:
            yield locked
        finally:
            os.close(handle)


def ended(code: int) -> str:
    """How a process ended, in words, from its exit code as `multiprocessing` gives it."""
    if code >= 0:
        return f"ended with exit code {code}"
    killed = f"was killed by signal {-code}"
    if -code == signal.SIGKILL:
        return f"{killed}, which is what the kernel does when memory runs out"
    return f"{killed} ({signal.Signals(-code).name})"
