"""Runs in the foreground: jobs on the real Dagster instance, with progress, without the daemon."""

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckSeverity,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    IntMetadataValue,
    JobDefinition,
    RunsFilter,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.api import execute_run_iterator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aquifer.dagster_home import prepared_home
from aquifer.disk import disk_trouble
from aquifer.lease import FileLeases, LeaseTaken
from aquifer.plugins import plugin

DEMO = "foreground"
"""The lease of the one demo that may be at work."""

FOREGROUND = "aquifer/foreground"
"""The tag of its runs: whose they are, as homes may share a database."""

UNFINISHED = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Outcome:
    """What runs in the foreground came to."""

    failures: list[str] = field(default_factory=list)
    passed: int = 0
    warned: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Checks that failed with severity ERROR."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Refused rows, by table and reason."""
    counts: dict[str, int] = field(default_factory=dict)
    """What ops counted, by name."""

    @property
    def ok(self) -> bool:
        return not self.failures and not self.failed


@contextmanager
def instance() -> Iterator[DagsterInstance]:
    """The Dagster instance under AQUIFER_HOME, for the only foreground run there."""
    with disk_trouble(), alone(prepared_home()), DagsterInstance.get() as held:
        plugin("environment").resources()["lake"].lake.mend()
        close_dead_foreground_runs(held)
        yield held


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Be the only foreground run; the kernel lets the next one go when this one dies."""
    leases = FileLeases(home / "leases")
    with ExitStack() as held:
        try:
            held.enter_context(leases.hold([DEMO], wait=False))
        except LeaseTaken:
            print(
                f"another command is at work in {home}; this one waits for its end", file=sys.stderr
            )
            held.enter_context(leases.hold([DEMO]))
        yield


def close_dead_foreground_runs(instance: DagsterInstance) -> None:
    """Mark unfinished foreground runs of this home as failed. Call it when none can be at work."""
    close_dead_runs(instance, FOREGROUND, _seat(instance))


def _seat(instance: DagsterInstance) -> str:
    return f"{socket.gethostname()}:{instance.root_directory}"


def close_dead_runs(instance: DagsterInstance, tag: str, value: str | None = None) -> None:
    """Mark unfinished runs with this tag as failed. Call it when no process can be at them.

    A run whose process was killed would count as in progress for ever, and its tables would not be
    asked for again.
    """
    for run in instance.get_runs(RunsFilter(statuses=UNFINISHED)):
        if tag in run.tags and value in (None, run.tags[tag]):
            instance.report_run_failed(run, "Its process ended before the run did.")


def run_job(
    job: JobDefinition,
    instance: DagsterInstance,
    outcome: Outcome,
    tags: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
) -> None:
    """Run a job to its end in this process, adding to the outcome."""
    run = instance.create_run_for_job(
        job_def=job,
        run_config={**QUIET, **(config or {})},
        tags={FOREGROUND: _seat(instance), **tags},
    )
    with Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as progress:
        bar = progress.add_task(job.name, total=len(job.nodes))
        for event in execute_run_iterator(InMemoryJob(job), run, instance):
            if event.event_type == DagsterEventType.STEP_START:
                progress.update(bar, description=f"{job.name}: {event.step_key}")
            elif event.event_type == DagsterEventType.ASSET_MATERIALIZATION and event.asset_key:
                progress.update(bar, description=f"{job.name}: {'.'.join(event.asset_key.path)}")
            elif event.event_type in (
                DagsterEventType.STEP_SUCCESS,
                DagsterEventType.STEP_FAILURE,
                DagsterEventType.STEP_SKIPPED,
            ):
                progress.advance(bar)
            _note(event, outcome)
        progress.update(bar, description=job.name)


def _note(event: DagsterEvent, outcome: Outcome) -> None:
    if event.event_type == DagsterEventType.STEP_FAILURE:
        error = event.step_failure_data.error
        if error is not None and error.cls_name == DagsterAssetCheckFailedError.__name__:
            return  # The checks that failed are named by their own events.
        outcome.failures.append(f"{event.step_key}: {_reason(event)}")
    elif event.event_type == DagsterEventType.STEP_OUTPUT:
        metadata = event.step_output_data.metadata
        outcome.counts |= {
            name: entry.value
            for name, entry in metadata.items()
            if isinstance(entry, IntMetadataValue) and entry.value is not None
        }
    elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        name = f"{'.'.join(evaluation.asset_key.path)} {evaluation.check_name}"
        if evaluation.passed:
            outcome.passed += 1
        elif evaluation.severity == AssetCheckSeverity.WARN:
            outcome.warned.append(name)
            if waiting := evaluation.metadata.get("rows waiting"):
                outcome.reasons[name] = int(str(waiting.value))
        else:
            said = f": {evaluation.description}" if evaluation.description else ""
            outcome.failed.append(name + said)


def _reason(event: DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().splitlines()[0] if error else "it failed"
