"""The runs that keep tables up with events, and the sensors that start them.

Belongs here: beginning and end of such a run, and who follows it. Does not: what it does (`drain`,
`downstream`).
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    BetaWarning,
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
from aquifer.downstream import Downstream, lags, marts_behind
from aquifer.drain import Drain
from aquifer.flow import Flow
from aquifer.flow_report import FlowReport
from aquifer.gold import Gold
from aquifer.lake import Lake
from aquifer.loops import Loops
from aquifer.models.live_champion import LiveChampions
from aquifer.runtime import Runtime
from aquifer.silver_events import EventTable
from aquifer.silver_table import SilverTable
from aquifer.stream_table import StreamTable
from aquifer.warm_run import NICE

# A beta parameter, which Dagster itself gives the sensors that it makes anew with their resources.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=BetaWarning)

DRAIN, DOWNSTREAM = "drain", "downstream"
"""The jobs, and the leases of the one run of each at work.

A successor waits for it with everything loaded."""

NICENESS = 19
"""Of runs that let others pass: they have what these leave of the processors."""

UNDER_WAY = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]

HANDOVER = timedelta(seconds=20)
"""How long before a drain's time is up its successor is started."""

LONGEST_COOL_DOWN = timedelta(minutes=15)

REPORT_SECONDS = 30.0
FIRST_REPORT_SECONDS = 5.0


class FlowConfig(Config):
    """How long a run lasts."""

    minutes: float = Field(default=15, description="After so long another run takes over.")
    idle_seconds: float = Field(
        default=60, description="The run ends when nothing has come for so long."
    )


def drain_job(
    tables: Sequence[EventTable], silver: Sequence[SilverTable], gold: Gold
) -> JobDefinition:
    """The job that takes events to gold as they come.

    Args:
        tables: silver tables of events.
        silver: every silver table.
        gold: the gold tables.
    """

    @op(required_resource_keys={"lake", "engine", "events", "schemas"})
    def drain_streams(context: OpExecutionContext, config: FlowConfig) -> None:
        with _runtime(context, DRAIN) as runtime:
            reading = context.resources.events.reading
            drain = Drain(runtime, context.resources.engine.remote, tables, gold, reading=reading)
            drain.prepare(silver)
            _run(drain, FlowReport(context, drain), config)

    @job(
        name=DRAIN,
        description="Takes events from the log to gold as they come, until none has come for a "
        "while; the sensor starts the next run.",
    )
    def drain() -> None:
        drain_streams()

    return drain


def downstream_job(
    tables: Sequence[EventTable], streams: Sequence[StreamTable], gold: Gold
) -> JobDefinition:
    """The job that makes what is downstream of a drain as events come.

    Args:
        tables: silver tables of events.
        streams: tables of windows and patterns over these.
        gold: the gold tables.
    """

    @op(required_resource_keys={"lake", "engine", "schemas", "registry"})
    def follow_streams(context: OpExecutionContext, config: FlowConfig) -> None:
        champions = context.resources.registry.champions
        with _runtime(context, DOWNSTREAM, champions) as runtime:
            remote = context.resources.engine.remote
            downstream = Downstream(runtime, remote, tables, gold, streams=streams)
            _run(downstream, FlowReport(context, downstream, streams), config)

    @job(
        name=DOWNSTREAM,
        tags={NICE: str(NICENESS)},
        description="Windows, patterns and marts of the events that drains take in, until none "
        "has come for a while; the sensor starts the next run.",
    )
    def downstream() -> None:
        follow_streams()

    return downstream


@contextmanager
def _runtime(
    context: OpExecutionContext, lease: str, champions: LiveChampions | None = None
) -> Iterator[Runtime]:
    """What the one run at work needs."""
    lake: Lake = context.resources.lake.lake
    with permanent_errors_fail_at_once(), lake.leases.hold([lease]):
        session = context.resources.engine.spark_session
        yield Runtime(session, lake, context.resources.schemas, champions)


def _run(flow: Flow, report: FlowReport, config: FlowConfig) -> None:
    loops = Loops(flow.loops())
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

    def waiting(context: SensorEvaluationContext) -> list[str]:
        lake: Lake = context.resources.lake.lake
        with context.resources.events.reading() as log:
            lag = {table.reads.topic: table.reads.lag(lake, log) for table in tables}
        unread = [f"{topic} {events:,}" for topic, events in lag.items() if events]
        # Another run may have taken them into bronze, and none may come after them.
        return [*unread, *(t.name for t in tables if lake.lags(t.name, t.reads.name))]

    return _lag_sensor(
        drain,
        waiting,
        name="stream_lag",
        seconds=5,
        resources={"lake", "events"},
        description="Starts a drain when events wait in the log or bronze; its successor in time.",
        behind="events that wait",
        nothing="no event waits",
    )


def downstream_sensor(
    downstream: JobDefinition,
    tables: Sequence[EventTable],
    streams: Sequence[StreamTable],
    gold: Gold,
) -> SensorDefinition:
    """The sensor that starts what follows a drain while something is to be taken in."""
    events = [table.name for table in tables]
    live = {*events, *(table.name for table in streams)}

    def lacking(context: SensorEvaluationContext) -> list[str]:
        lake: Lake = context.resources.lake.lake
        asking = [table for table in streams if table.asks_for_runs]
        behind = [table.name for table in asking if lags(lake, table, live)]
        return [*behind, *marts_behind(lake, gold, events)]

    return _lag_sensor(
        downstream,
        lacking,
        name="downstream_lag",
        seconds=15,
        resources={"lake"},
        description="Starts windows, patterns and marts when events were taken in that they lack.",
        behind="tables that lack events",
        nothing="no table lacks events",
    )


def _lag_sensor(
    flow_job: JobDefinition,
    lag: Callable[[SensorEvaluationContext], Sequence[str]],
    *,
    name: str,
    seconds: int,
    resources: set[str],
    description: str,
    behind: str,
    nothing: str,
) -> SensorDefinition:
    """A sensor that starts a job while something lags, and its successor in time.

    Args:
        lag: what lags.
        seconds: how often to look at most.
        resources: the keys of what `lag` takes.
        behind, nothing: what to say before what lags, and if nothing does.
    """

    @sensor(
        name=name,
        job=flow_job,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=seconds,
        required_resource_keys=resources,
        description=description,
    )
    def start_while_behind(context: SensorEvaluationContext) -> RunRequest | SkipReason:
        if reason := _not_now(context.instance, flow_job.name):
            return SkipReason(reason)
        if lagging := lag(context):
            context.log.info("%s: %s", behind, ", ".join(lagging))
            return RunRequest()
        return SkipReason(nothing)

    return start_while_behind


def _not_now(instance: DagsterInstance, name: str) -> str | None:
    """Why no run of a job is to be started, or None."""
    now = datetime.now(UTC)
    under_way = instance.get_run_records(RunsFilter(job_name=name, statuses=UNDER_WAY))
    for record in under_way:
        config = FlowConfig(**_config(record.dagster_run.run_config))
        ending = record.create_timestamp + timedelta(minutes=config.minutes) - HANDOVER
        if now < ending:
            return f"a {name} run is at work"
    if len(under_way) > 1:
        return f"a {name} run waits to take over"
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
            return f"the last {failures} {name} runs failed; the next is tried again after a while"
    return None


def _config(run_config: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for settings in run_config.get("ops", {}).values():
        given |= settings.get("config", {})
    return given
