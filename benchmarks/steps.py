"""Where the seconds of a demo go, from Dagster's records of its runs."""

import os
from collections import defaultdict
from pathlib import Path

from dagster import DagsterInstance

SIMULATION = "simulated_sources"


def part_of(step: str) -> str:
    """What a step's seconds are counted as."""
    if step in {SIMULATION, "silver_invoice_lines", "gold", "gold_snapshots"}:
        return step
    return f"other {step.partition('_')[0]} steps"


def parts(home: Path, begun: float, wall: float) -> dict[str, float]:
    """The seconds of each part of the demo that began then in a home."""
    seconds: dict[str, float] = defaultdict(float)
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        records = [
            record
            for record in reversed(instance.get_run_records())
            if record.create_timestamp.timestamp() >= begun
        ]
        seconds["start-up"] = records[0].create_timestamp.timestamp() - begun
        for record in records:
            planned = record.start_time - record.create_timestamp.timestamp()
            seconds["records of what runs plan"] += planned
            for step in instance.get_run_step_stats(record.dagster_run.run_id):
                seconds[part_of(step.step_key)] += step.end_time - step.start_time
    return seconds | {"the rest": wall - sum(seconds.values())}
