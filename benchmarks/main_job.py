"""The main job on all files, from empty, and where its time goes.

The first run also parses the dbt project, as after each change of it.
"""

import os
import shutil
import time
from collections import defaultdict
from pathlib import Path

from common import PROJECT, demo, empty_home, invoice_files, show
from dagster import DagsterInstance


def part_of(step: str) -> str:
    """What a step's seconds are counted as."""
    if step in {"simulated_sources", "silver_invoice_lines", "gold", "gold_snapshots"}:
        return step
    return f"other {step.partition('_')[0]} steps"


def parts(home: Path, begun: float, wall: float) -> dict[str, float]:
    """The seconds of each part of a demo, from Dagster's records of its runs."""
    seconds: dict[str, float] = defaultdict(float)
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        records = list(reversed(instance.get_run_records()))
        seconds["start-up"] = records[0].create_timestamp.timestamp() - begun
        for record in records:
            planned = record.start_time - record.create_timestamp.timestamp()
            seconds["records of what runs plan"] += planned
            for step in instance.get_run_step_stats(record.dagster_run.run_id):
                seconds[part_of(step.step_key)] += step.end_time - step.start_time
    return seconds | {"the rest": wall - sum(seconds.values())}


files = invoice_files()
rows = []
shutil.rmtree(PROJECT / "dbt_project" / "target", ignore_errors=True)
for run in range(1, 4):
    with empty_home() as home:
        begun = time.time()
        measured = demo(home, files)
        spent = parts(home, begun, measured.wall)
    size = sum(file.stat().st_size for file in files)
    rows.append(
        (
            run,
            len(files),
            f"{size:,}",
            f"{measured.wall:.1f}",
            f"{measured.cpu:.1f}",
            f"{measured.peak_mib:,.0f}",
        )
    )
show("Main job", ["run", "files", "bytes", "wall s", "cpu s", "peak MiB"], rows)
show("Where the last went", ["part", "wall s"], [(k, f"{s:.1f}") for k, s in spent.items()])
