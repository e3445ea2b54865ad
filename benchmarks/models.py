"""Every model against its baseline, and what it takes to train all: on months of invoices.

Each trains in a home of its own making as `aquifer model train` does: gates, registry and all. Of
the sample most say that there is too little to learn from. The events of a week at the tills, with
verdicts on them, are simulated.
"""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as parquet
from common import PROJECT, demo, empty_home, invoice_files, markdown
from mlflow import MlflowClient

from aquifer.models.evaluation import SEED
from assets import tables
from resources.environment import registry

WEEK = timedelta(days=7)
EVENTS_PER_SECOND = 0.34


def command(home: Path, *arguments: str) -> tuple[float, float]:
    """The command, whether it succeeds or not; seconds of wall and of processor."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "aquifer.cli", *arguments],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime


def tills(home: Path) -> None:
    """Take in the events of a week that is over, with fraud and verdicts."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    when = ["--start", (today - WEEK).isoformat(), "--minutes", str(WEEK / timedelta(minutes=1))]
    what = ["--topic", "pos.events", "--fraud", "usual", "--rate", str(EVENTS_PER_SECOND)]
    command(home, "simulate", *what, *when)
    command(home, "drain", "--idle-seconds", "2")


def figures(client: MlflowClient, name: str) -> list[tuple[object, ...]]:
    """What the newest version of a model came to, beside its baseline; nothing without one."""
    versions = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"])
    if not versions:
        return [(name, "", "not trained", "", "")]
    run = client.get_run(versions[0].run_id)
    gain = versions[0].tags.get("gate.beats_baseline", "")
    held = parquet.read_metadata(client.download_artifacts(run.info.run_id, "reference.parquet"))
    return [
        (name, figure, f"{value:.4f}", f"{run.data.metrics[f'baseline_{figure}']:.4f}", said)
        for (figure, value), said in zip(
            (
                (figure, value)
                for figure, value in run.data.metrics.items()
                if f"baseline_{figure}" in run.data.metrics
            ),
            [f"{gain} ({held.num_rows:,} rows)", *[""] * len(run.data.metrics)],
            strict=False,
        )
    ]


def main() -> None:
    """Train in a new home, features included, and print."""
    files = invoice_files()
    with empty_home() as home:
        demo(home, files)
        tills(home)
        wall, processor = command(home, "model", "train")
        client = registry({"AQUIFER_HOME": str(home)}).client
        rows = [row for model in tables.models for row in figures(client, model.name)]
    title = (
        f"{len(files)} files; features, training, gates, predictions and plan of all models in "
        f"{wall:.0f} s of wall, {processor:.0f} s of processor, on {os.cpu_count()} cores; seed "
        f"{SEED}; holdouts are the latest instants whose labels are known"
    )
    markdown(title, ["model", "figure", "model", "baseline", "gain of the loss, a row"], rows)


if __name__ == "__main__":
    main()
