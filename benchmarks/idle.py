"""An idle platform: what `aquifer up` takes of processor, memory and disk when nothing happens.

On a home of its own, after its first ingestion has settled.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from common import empty_home, show
from served import serve


def memory(processes: Iterator[int]) -> float:
    """MiB of processes, what several share counted once."""
    kib = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def databases(home: Path) -> float:
    """MiB of Dagster's databases."""
    files = (home / "dagster").rglob("*.db*")
    return sum(file.stat().st_size for file in files) / 2**20


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--minutes", type=float, default=5)
minutes = parser.parse_args().minutes
with empty_home() as home, serve(home) as up:
    up.settle()
    held, stored, runs = memory(iter(up.processes())), databases(home), len(up.runs())
    percent = up.processor(time.sleep, 60 * minutes)
    rows = [(name, f"{share:.1f}") for name, share in percent.most_common()]
    show("Processor when idle", ["process", "% of a core"], rows)
    show(
        f"An idle platform, {minutes:g} minutes, {len(up.runs()) - runs} runs meanwhile",
        ["", "at the start", "at the end"],
        [
            ("% of a core", "", f"{percent.total():.1f}"),
            ("memory, MiB", f"{held:,.0f}", f"{memory(iter(up.processes())):,.0f}"),
            ("Dagster's databases, MiB", f"{stored:.2f}", f"{databases(home):.2f}"),
        ],
    )
