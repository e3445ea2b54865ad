"""The drain: who starts it, how it ends, and what the UI is told of it."""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Home, dagster_instance, start
from dagster import (
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    JobDefinition,
    RunsFilter,
    build_sensor_context,
)
from dagster._core.test_utils import freeze_time

from aquifer.eventlog import PRODUCED
from aquifer.gold import APPENDED, TESTED
from aquifer.lake import SEQUENCE
from aquifer.tally import Tally
from assets import tables
from assets.definitions import defs
from resources.lake import LakeResource
from resources.simulation.streams.openloop import SHARES
from resources.sources import EventLogResource

SENT = 2_000
DRAIN, DOWNSTREAM = (defs.resolve_job_def(name) for name in ("drain", "downstream"))


def key_of(table: str) -> AssetKey:
    return AssetKey(table.split("."))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home into which events of a past minute were sent and drained, before any other table."""
    home = Home(tmp_path_factory.mktemp("drained"))
    rate = ["--rate", str(SENT / 60), "--minutes", "1", "--start", "2026-03-01T08:00:00Z"]
    for command in (["simulate", *rate], ["drain", "--idle-seconds", "1"]):
        process = start(*command, home=home.folder)
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
    return home


@pytest.fixture(scope="module")
def instance(home: Home) -> Iterator[DagsterInstance]:
    with dagster_instance(home.folder) as instance:
        yield instance


def count(home: Home, table: str, where: str = "true") -> int:
    return home.rows(f"select count(*) as n from {table} where {where}")[0]["n"]


def test_every_event_is_in_silver_or_a_duplicate_or_a_dead_letter(home: Home, instance) -> None:
    simulated = [table for table in tables.events if table.reads.topic in SHARES]
    bronze = {table.reads.name: count(home, table.reads.name) for table in simulated}
    assert sum(bronze.values()) >= SENT
    for table in simulated:
        event = instance.get_latest_materialization_event(key_of(table.name))
        told = event.asset_materialization.metadata
        kept, refused = count(home, table.name), count(home, f"{table.name}_quarantine")
        assert kept + refused + told["rows duplicate"].value == bronze[table.reads.name]


def test_sales_of_the_tills_stand_in_gold_before_any_other_table_does(home: Home) -> None:
    sold = home.rows(
        "select count(*) as n from (select unnest(lines) from silver.pos_events e "
        "where type in ('sale', 'return') and not exists "
        "(from silver.pos_events v where v.type = 'void' and v.voids = e.event_id))"
    )[0]["n"]
    assert 0 < sold == count(home, "gold.fct_sales")
    assert count(home, "gold.daily_sales", "channel = 'store'") > 0


def test_what_is_downstream_has_taken_in_and_tested_all_that_was_drained(home: Home) -> None:
    lake, fact = home.lake, "gold.fct_sales"
    marts = {name: [fact] for name in tables.gold.contracts if fact in tables.gold.upstreams[name]}
    live = {table.name for table in [*tables.events, *tables.stream]}
    streams = {t.name: live & {*t.upstreams} for t in tables.stream if t.asks_for_runs}
    behind = [
        (name, upstream)
        for name, upstreams in (marts | streams).items()
        for upstream in upstreams
        if lake.progress(name, upstream) < lake.seq(upstream)
    ]
    assert marts
    assert all(streams.values())
    assert behind == []
    assert lake.progress(fact, TESTED) == lake.seq(fact)


def test_the_ui_is_told_of_lag_throughput_and_watermark(instance: DagsterInstance) -> None:
    told = {
        table: instance.get_latest_materialization_event(key_of(table)).asset_materialization
        for table in ("bronze.pos_events", "silver.pos_events", "gold.fct_sales")
    }
    assert told["bronze.pos_events"].metadata["lag"].value == 0
    assert told["bronze.pos_events"].metadata["events per second"].value > 0
    silver = told["silver.pos_events"].metadata
    assert silver["watermark"].value < datetime(2026, 3, 1, 8, 1, tzinfo=UTC).timestamp()
    assert {"rows late", "rows duplicate", "rows quarantined"} <= silver.keys()
    gold = [
        record.asset_materialization.metadata
        for record in instance.fetch_materializations(key_of("gold.fct_sales"), limit=10).records
    ]
    assert sum(each["rows written"].value for each in gold) == gold[0]["rows"].value > 0
    assert all(event.tags["dagster/data_version"] for event in told.values())


def test_the_lineage_that_is_told_is_that_of_the_last_whole_build() -> None:
    def built(build: int, compiled: str, *, appending: bool) -> dict[str, object]:
        node = {"node_info": {"unique_id": "model.aquifer.fct_sales"}}
        return {"data": node, "build": build, "appending": appending, "compiled": compiled}

    tally = Tally()
    tally.note(built(1, "whole", appending=False))
    tally.take()
    tally.note(built(2, "a part", appending=True))
    tally.note(built(3, "a part", appending=True))
    _, (told,) = tally.take()
    assert (told["since"], told["build"], told["compiled"]) == (2, 3, "whole")


def test_a_run_tells_little_and_its_checks_are_those_of_the_assets(
    instance: DagsterInstance,
) -> None:
    (run,) = instance.get_runs(RunsFilter(job_name=DRAIN.name))
    assert run.status == DagsterRunStatus.SUCCESS
    logs = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    assert len(logs) < 400
    evaluations = [
        event.asset_check_evaluation_data
        for event in logs
        if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    checks = Counter((told.asset_check_key, told.passed) for told in evaluations)
    # Told again only when the verdict is another.
    assert set(checks.values()) == {1}
    specs = defs.resolve_asset_graph().asset_check_keys
    assert {check for check, _ in checks} <= specs
    assert (("gold", "fct_sales"), "fct_sales_contract") in {
        (tuple(check.asset_key.path), check.name) for check, passed in checks if passed
    }


class Lag:
    """The sensor that sees lag of a job, on a home of its own."""

    def __init__(self, folder: Path, instance: DagsterInstance, job: JobDefinition) -> None:
        (self._sensor,) = (
            sensor for sensor in defs.sensors if sensor.has_jobs and sensor.job.name == job.name
        )
        self._job = job
        self._instance = instance
        self.events = EventLogResource(
            url="sqlite://", folder=str(folder / "events"), retention_days=7
        )
        lake = LakeResource(root=str(folder / "lake"), leases=str(folder / "leases"))
        self.lake = lake.lake
        self._resources = {"lake": lake, "events": self.events}

    def tick(self) -> str:
        """The name of the job when it starts it, else why not."""
        context = build_sensor_context(self._instance, definitions=defs, resources=self._resources)
        result = self._sensor.evaluate_tick(context)
        return self._job.name if result.run_requests else result.skip_message

    def produce(self) -> None:
        now = datetime.now(UTC)
        rows = {"key": [b"k"], "value": [b"{}"], "timestamp": [now]}
        with self.events.reading() as log:
            log.produce("pos.events", pa.table(rows, schema=PRODUCED))

    def run(self, status: DagsterRunStatus) -> str:
        """A run of the job that has come to this status now; its id."""
        run = self._instance.create_run_for_job(self._job, status=DagsterRunStatus.STARTED)
        if status != DagsterRunStatus.STARTED:
            self._instance.report_run_failed(run)
        return run.run_id


@pytest.fixture
def lag(tmp_path: Path) -> Iterator[Lag]:
    with dagster_instance(tmp_path) as instance:
        yield Lag(tmp_path, instance, DRAIN)


@pytest.fixture
def downstream(home: Home, tmp_path: Path) -> Iterator[Lag]:
    """The sensor of what is downstream, on a home where that has taken in everything."""
    folder = shutil.copytree(home.folder / "lake", tmp_path / "lake").parent
    with dagster_instance(folder) as instance:
        yield Lag(folder, instance, DOWNSTREAM)


def test_a_drain_is_started_when_events_wait_and_none_is_at_work(lag: Lag) -> None:
    assert lag.tick() == "no event waits"
    lag.produce()
    assert lag.tick() == "drain"
    lag.run(DagsterRunStatus.STARTED)
    assert lag.tick() == "a drain run is at work"


def test_a_drain_is_started_for_events_that_another_run_took_into_bronze(lag: Lag) -> None:
    lag.produce()
    (table,) = (each for each in tables.events if each.name == "silver.pos_events")
    with lag.events.reading() as log:
        table.reads.advance(lag.lake, log)
        assert table.reads.lag(lag.lake, log) == 0
    assert lag.tick() == "drain"


def test_a_successor_is_started_before_the_time_of_a_drain_is_up(lag: Lag) -> None:
    lag.produce()
    with freeze_time(datetime.now(UTC) - timedelta(minutes=14, seconds=50)):
        lag.run(DagsterRunStatus.STARTED)
    assert lag.tick() == "drain"
    lag.run(DagsterRunStatus.STARTED)
    assert lag.tick() == "a drain run is at work"


def test_after_failures_a_drain_is_tried_again_ever_more_seldom(lag: Lag) -> None:
    lag.produce()
    lag.run(DagsterRunStatus.FAILURE)
    assert lag.tick() == "the last 1 drain runs failed; the next is tried again after a while"


def test_a_drain_that_failed_a_while_ago_is_succeeded(lag: Lag) -> None:
    lag.produce()
    with freeze_time(datetime.now(UTC) - timedelta(seconds=11)):
        lag.run(DagsterRunStatus.FAILURE)
    assert lag.tick() == "drain"
    with freeze_time(datetime.now(UTC) - timedelta(seconds=11)):
        lag.run(DagsterRunStatus.FAILURE)
    assert "the last 2 drain runs failed" in lag.tick()


def test_what_is_downstream_is_started_when_a_stream_was_taken_in(downstream: Lag) -> None:
    assert downstream.tick() == "no table lacks events"
    name = "silver.web_events"
    downstream.lake.record(name, {SEQUENCE: downstream.lake.seq(name) + 1})
    assert downstream.tick() == "downstream"
    downstream.run(DagsterRunStatus.STARTED)
    assert downstream.tick() == "a downstream run is at work"


def test_what_is_downstream_is_started_when_facts_were_appended_of_a_stream(
    downstream: Lag,
) -> None:
    name, stream = "gold.fct_sales", "silver.pos_events"
    build = downstream.lake.seq(name) + 1
    # Of a batch: its run goes on to the marts.
    downstream.lake.record(name, {SEQUENCE: build})
    assert downstream.tick() == "no table lacks events"
    appended = {f"{APPENDED}:{stream}": downstream.lake.seq(stream) + 1}
    downstream.lake.record(name, {SEQUENCE: build, **appended})
    assert downstream.tick() == "downstream"
