"""The run that drains event streams, and the sensor that starts one while there is lag.

Belongs here: beginning and end of such a run, and who follows it. Does not: the drain (`drain`).
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    Config,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    JobDefinition,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    job,
    op,
    sensor,
)
from pydantic import Field

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.drain import Drain
from aquifer.drain_report import DrainReport
from aquifer.eventlog import EventReader
from aquifer.gold import Gold
from aquifer.lake import Lake
from aquifer.loops import Loops
from aquifer.runtime import Runtime
from aquifer.silver_events import EventTable
from aquifer.silver_table import SilverTable
from aquifer.stream_table import StreamTable

LEASE = "drain"
"""The lease of the one drain at work. A successor waits for it, with everything loaded."""

UNDER_WAY = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]

HANDOVER = timedelta(seconds=20)
"""How long before a drain's time is up its successor is started."""

LONGEST_COOL_DOWN = timedelta(minutes=15)

REPORT_SECONDS = 30.0
FIRST_REPORT_SECONDS = 5.0


class DrainConfig(Config):
    """How long a drain lasts."""

    minutes: float = Field(default=15, description="After so long another run takes over.")
    idle_seconds: float = Field(
        default=60, description="The run ends when no event has come for so long."
    )


def drain_job(
    tables: Sequence[EventTable],
    streams: Sequence[StreamTable],
    silver: Sequence[SilverTable],
    gold: Gold,
) -> JobDefinition:
    """The job that takes events to gold as they come.

    Args:
        tables: silver tables of events.
        streams: tables of windows and patterns over these.
        silver: every silver table.
        gold: the gold tables.
    """

    @op(required_resource_keys={"lake", "engine", "events", "schemas"})
    def drain_streams(context: OpExecutionContext, config: DrainConfig) -> None:
        lake: Lake = context.resources.lake.lake
        with permanent_errors_fail_at_once(), lake.leases.hold([LEASE]):
            engine = context.resources.engine
            runtime = Runtime(engine.spark_session, lake, context.resources.schemas)
            reading = context.resources.events.reading
            drain = Drain(runtime, engine.remote, reading, tables, gold, streams)
            drain.prepare(silver)
            loops = Loops(drain.loops())
            _run(loops, DrainReport(context, drain), config)

    @job(
        description="Takes events from the log to gold as they come, until none has come for a "
        "while; the sensor starts the next run.",
    )
    def drain() -> None:
        drain_streams()

    return drain


def _run(loops: Loops, report: DrainReport, config: DrainConfig) -> None:
    begun = told = time.monotonic()

    def meanwhile() -> bool:
        nonlocal told
        now = time.monotonic()
        # The first soon, for those who wait to see it.
        if now - told >= (REPORT_SECONDS if told > begun else FIRST_REPORT_SECONDS):
            report.tell(now - told)
            told = now
        idle = now - loops.found_at >= config.idle_seconds
        return idle or now - begun >= config.minutes * 60

    try:
        loops.run(meanwhile, every=1.0)
    finally:
        report.tell(time.monotonic() - told)


def drain_sensor(drain: JobDefinition, tables: Sequence[EventTable]) -> SensorDefinition:
    """The sensor that starts a drain while there is lag, and the next before one's time is up."""

    @sensor(
        name="stream_lag",
        job=drain,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
        required_resource_keys={"lake", "events"},
        description="Starts a drain when events wait in the log, and its successor in time.",
    )
    def stream_lag(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        if reason := _not_now(context.instance, drain.name):
            yield SkipReason(reason)
            return
        lake: Lake = context.resources.lake.lake
        with context.resources.events.reading() as log:
            waiting = {table.reads.topic: _lag(table, lake, log) for table in tables}
        if behind := {topic: lag for topic, lag in waiting.items() if lag}:
            told = ", ".join(f"{topic} {lag:,}" for topic, lag in behind.items())
            context.log.info("events that wait: %s", told)
            yield RunRequest()
        else:
            yield SkipReason("no event waits")

    return stream_lag


def _lag(table: EventTable, lake: Lake, log: EventReader) -> int:
    return table.reads.lag(lake, log)


def _not_now(instance: DagsterInstance, name: str) -> str | None:
    """Why no drain is to be started, or None."""
    now = datetime.now(UTC)
    under_way = instance.get_run_records(RunsFilter(job_name=name, statuses=UNDER_WAY))
    for record in under_way:
        config = DrainConfig(**_config(record.dagster_run.run_config))
        ending = record.create_timestamp + timedelta(minutes=config.minutes) - HANDOVER
        if now < ending:
            return "a drain is at work"
    if len(under_way) > 1:
        return "a drain waits to take over"
    return _cool_down(instance, name, now)


def _cool_down(instance: DagsterInstance, name: str, now: datetime) -> str | None:
    """Each failure in a row doubles the time until the next attempt."""
    ended = instance.get_run_records(RunsFilter(job_name=name), limit=10)
    failures = 0
    for record in ended:
        if record.dagster_run.status != DagsterRunStatus.FAILURE:
            break
        failures += 1
    if failures:
        patience = min(timedelta(seconds=5 * 2**failures), LONGEST_COOL_DOWN)
        if now < ended[0].update_timestamp + patience:
            return f"the last {failures} drains failed; the next is tried again after a while"
    return None


def _config(run_config: Any) -> dict[str, Any]:
    given: dict[str, Any] = run_config.get("ops", {}).get("drain_streams", {}).get("config", {})
    return given
