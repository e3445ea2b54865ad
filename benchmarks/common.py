"""What the benchmarks share: the files, a measured command, a table."""

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from types import MappingProxyType

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).parents[1]


def invoice_files() -> list[Path]:
    """The invoice files of AQUIFER_TEST_DATA, else the sample, by day."""
    folder = Path(os.environ.get("AQUIFER_TEST_DATA") or PROJECT / "data" / "online-retail")
    return sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))


@dataclass(frozen=True)
class Measured:
    """What a command took, as the operating system accounts it.

    The peak is that of the process, which holds engine and dbt as well.
    """

    wall: float
    cpu: float
    peak_mib: float


def demo(
    home: Path, files: Sequence[Path], settings: Mapping[str, str] = MappingProxyType({})
) -> Measured:
    """`aquifer demo` on some files, in a home, with further settings."""
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (Path(folder) / file.name).symlink_to(file.resolve())
        started = time.monotonic()
        process = Popen(
            [sys.executable, "-m", "aquifer.cli", "demo", "--data", folder],
            cwd=PROJECT,
            env={**os.environ, "AQUIFER_HOME": str(home), **settings},
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"the demo failed; run it by hand with AQUIFER_HOME={home}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def empty_home():
    """A new AQUIFER_HOME, removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(*columns, title=f"{title} ({os.cpu_count()} cores)")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=120).print(table)


def markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table as the documents hold it."""
    print(f"\n{title}\n")
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(map(str, row))} |")
