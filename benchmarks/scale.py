"""The main job and one more day on several times the invoices: how time, memory and files grow.

The invoices are those of `more_invoices.py`. Prints Markdown. The exponent says how a figure grows
with the invoices: 1 is in proportion, 0 not at all. Of an engine on a server the memory is not
counted, only that of its client.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
from common import Measured, demo, empty_home, invoice_files, markdown
from deltalake import DeltaTable
from more_invoices import repeat
from steps import SIMULATION, parts

KIB = 1024
MANY_ROWS = 10_000
"""Tables of fewer rows are not listed."""


@dataclass(frozen=True)
class Stage:
    """A demo: what it took, by part."""

    rows: int
    octets: int
    took: Measured
    parts: Mapping[str, float]

    @property
    def ours(self) -> float:
        """The seconds of the platform, without those of the simulated source systems."""
        return self.took.wall - self.parts.get(SIMULATION, 0.0)


def stage(home: Path, files: Sequence[Path], settings: Mapping[str, str]) -> Stage:
    begun = time.time()
    took = demo(home, files, settings)
    lines = sum(file.read_bytes().count(b"\n") - 1 for file in files)
    octets = sum(file.stat().st_size for file in files)
    return Stage(lines, octets, took, parts(home, begun, took.wall))


def file_sizes(lake: Path) -> Iterator[tuple[str, int, list[int]]]:
    """Of each large table its rows and the bytes of each of its files."""
    for log in sorted(lake.glob("*/*/_delta_log")):
        table = DeltaTable(log.parent)
        if (rows := int(table.count())) >= MANY_ROWS:
            files = pa.table(table.get_add_actions(flatten=True))
            name = f"{log.parent.parent.name}.{log.parent.name}"
            yield name, rows, files["size_bytes"].to_pylist()


def exponent(figures: Sequence[float], times: Sequence[int]) -> str:
    """How the last figure has grown from the one before, as a power of the invoices."""
    if len(times) < 2 or min(figures[-2:]) <= 0:
        return ""
    return f"{math.log(figures[-1] / figures[-2]) / math.log(times[-1] / times[-2]):.2f}"


def show_stages(title: str, times: Sequence[int], stages: Sequence[Stage]) -> None:
    """The figures of one job at all sizes."""
    rows = []
    for place, (n, each) in enumerate(zip(times, stages, strict=True), start=1):
        sofar = stages[:place]
        rows.append(
            (
                n,
                f"{each.rows:,}",
                f"{each.octets:,}",
                f"{each.took.wall:.1f}",
                f"{each.ours:.1f}",
                exponent([s.ours for s in sofar], times[:place]),
                f"{each.took.cpu:.1f}",
                f"{each.took.peak_mib:,.0f}",
                exponent([s.took.peak_mib for s in sofar], times[:place]),
                f"{each.octets / each.took.cpu:,.0f}",
            )
        )
    columns = ["times", "lines", "bytes", "wall s", "without simulation s", "exponent", "cpu s"]
    markdown(title, [*columns, "peak MiB", "exponent", "bytes a core-second"], rows)
    names = list(dict.fromkeys(name for each in stages for name in each.parts))
    spent = [[each.parts.get(name, 0.0) for each in stages] for name in names]
    markdown(
        f"{title}: where the wall seconds go",
        ["part", *(f"{n} times" for n in times), "exponent"],
        [
            (name, *(f"{s:.1f}" for s in seconds), exponent(seconds, times))
            for name, seconds in zip(names, spent, strict=True)
        ],
    )


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 100])
parser.add_argument("--days", type=int, default=25, help="the last of them is the one more")
parser.add_argument("--engine", help="sc://host:port, which reaches the folders of this machine")
given = parser.parse_args()
days = invoice_files()[: given.days]
main_jobs, more_days, files = [], [], []
for n in given.times:
    with tempfile.TemporaryDirectory() as folder, empty_home() as home:
        repeat(days, Path(folder), n)
        *before, last = sorted(Path(folder).iterdir())
        settings = {}
        if given.engine:
            settings = {
                "AQUIFER_ENV": "cluster",
                "AQUIFER_ENGINE": given.engine,
                "AQUIFER_LAKE": str(home / "lake"),
            }
        main_jobs.append(stage(home, before, settings))
        more_days.append(stage(home, [last], settings))
        for name, rows, sizes in file_sizes(home / "lake"):
            spread = (min(sizes), median(sizes), max(sizes))
            files.append((n, name, f"{rows:,}", len(sizes), *(f"{s / KIB:,.0f}" for s in spread)))
show_stages(f"Main job on {len(days) - 1} days", given.times, main_jobs)
show_stages(f"One more day ({days[-1].name.partition('.')[0]})", given.times, more_days)
markdown("Files", ["times", "table", "rows", "files", "min KiB", "median KiB", "max KiB"], files)
