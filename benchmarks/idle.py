"""An idle platform: what `aquifer up` takes of processor, memory and disk when nothing happens.

On a home of its own, after its first ingestion has settled.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from common import empty_home, show
from served import Served, serve

SAMPLE_SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {
    "dagster dev": "dagster dev",
    "dagster_webserver": "UI",
    "dagster._daemon": "daemon",
    "code-server start": "code server's watcher",
    "api grpc": "code server",
    "aquifer.warm_server": "warm server",
    "forkserver": "fork server and runs",
    "aquifer.cli": "aquifer up",
}


def name_of(process: int) -> str:
    """What a process is."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "others"
    return next((name for part, name in NAMES.items() if part in command), "others")


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


def processor(up: Served, seconds: float) -> dict[str, float]:
    """Percent of one core, by kind of process, over some time."""
    spent: dict[str, int] = defaultdict(int)
    begun, before = time.monotonic(), up.processes()
    while time.monotonic() - begun < seconds:
        time.sleep(SAMPLE_SECONDS)
        now = up.processes()
        for process, fields in now.items():
            # Without its children's: they are counted while they live.
            used = sum(map(int, fields[11:13]))
            earlier = before.get(process)
            spent[name_of(process)] += used - (sum(map(int, earlier[11:13])) if earlier else 0)
        before = now
    elapsed = time.monotonic() - begun
    return {name: 100 * ticks / TICKS / elapsed for name, ticks in spent.items()}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--minutes", type=float, default=5)
minutes = parser.parse_args().minutes
with empty_home() as home, serve(home) as up:
    up.settle()
    held, stored, runs = memory(iter(up.processes())), databases(home), len(up.runs())
    percent = processor(up, 60 * minutes)
    rows = [(name, f"{share:.2f}") for name, share in sorted(percent.items(), key=lambda p: -p[1])]
    show("Processor when idle", ["process", "% of a core"], rows)
    show(
        f"An idle platform, {minutes:g} minutes, {len(up.runs()) - runs} runs meanwhile",
        ["", "at the start", "at the end"],
        [
            ("% of a core", "", f"{sum(percent.values()):.1f}"),
            ("memory, MiB", f"{held:,.0f}", f"{memory(iter(up.processes())):,.0f}"),
            ("Dagster's databases, MiB", f"{stored:.2f}", f"{databases(home):.2f}"),
        ],
    )
