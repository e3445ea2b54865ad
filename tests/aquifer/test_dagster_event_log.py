"""Dagster's event log: what its own storage would hold, in batches that are whole or absent."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import dagster_instance
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    EventLogEntry,
    MaterializeResult,
    asset,
    asset_check,
    in_process_executor,
)
from dagster._check import CheckError
from dagster._core.events import AssetMaterializationPlannedData

from aquifer.dagster_event_log import OPEN_DATABASES, PooledSqliteEventLogStorage
from aquifer.foreground import Outcome, run_job

DAYS = DailyPartitionsDefinition("2011-01-01", end_date="2011-01-11")
TABLE = AssetKey("table")


@asset(partitions_def=DAYS)
def table() -> MaterializeResult:
    return MaterializeResult(metadata={"rows": 3})


@asset_check(asset=table)
def has_rows() -> AssetCheckResult:
    return AssetCheckResult(passed=True, metadata={"rows": 3})


def run(instance: DagsterInstance) -> str:
    """Materialise ten days of the table in one run; the run."""
    defined = Definitions([table], asset_checks=[has_rows], executor=in_process_executor)
    tags = {
        "dagster/asset_partition_range_start": "2011-01-01",
        "dagster/asset_partition_range_end": "2011-01-10",
    }
    outcome = Outcome()
    run_job(defined.resolve_implicit_global_asset_job_def(), instance, outcome, tags)
    assert outcome.ok
    return instance.get_runs(limit=1)[0].run_id


def told(instance: DagsterInstance, run_id: str) -> dict:
    """What the instance says of a run."""
    check = AssetCheckKey(TABLE, "has_rows")
    executions = instance.event_log_storage.get_asset_check_execution_history(check, limit=50)
    return {
        "events": Counter(event.dagster_event_type for event in instance.all_logs(run_id)),
        "days": sorted(instance.get_materialized_partitions(TABLE)),
        "metadata": instance.get_latest_materialization_event(TABLE).asset_materialization.metadata,
        "checks": Counter(execution.status for execution in executions),
    }


@pytest.fixture
def batches(monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "4")


def test_it_holds_what_dagsters_own_storage_would_hold(tmp_path, batches):
    with dagster_instance(tmp_path / "home") as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
        run_id = run(instance)
        pooled = told(instance, run_id)
        # The files are Dagster's own.
        shutil.copytree(tmp_path / "home" / "dagster" / "history", tmp_path / "own" / "history")
    with DagsterInstance.local_temp(str(tmp_path / "own")) as instance:
        assert told(instance, run_id) == pooled
        instance.wipe()
        assert told(instance, run(instance)) == pooled
    assert len(pooled["days"]) == 10


def event_of(run_id: str) -> EventLogEntry:
    planned = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
        job_name="job",
        event_specific_data=AssetMaterializationPlannedData(TABLE),
    )
    return EventLogEntry(
        error_info=None,
        level=10,
        user_message="",
        run_id=run_id,
        timestamp=1.0,
        dagster_event=planned,
    )


@pytest.fixture
def storage(tmp_path) -> Iterator[PooledSqliteEventLogStorage]:
    storage = PooledSqliteEventLogStorage(str(tmp_path))
    yield storage
    storage.dispose()


def test_a_batch_that_fails_leaves_no_event_behind(storage):
    with pytest.raises(CheckError):
        storage.store_event_batch([event_of("run"), None])
    assert storage.get_logs_for_run("run") == []
    assert not storage.has_asset_key(TABLE)
    storage.store_event_batch([event_of("run"), event_of("run")])
    assert len(storage.get_logs_for_run("run")) == 2
    assert storage.has_asset_key(TABLE)


def test_threads_store_the_events_of_more_runs_than_stay_open(storage):
    runs = [f"run{number}" for number in range(5 * OPEN_DATABASES)]
    before = len(os.listdir("/dev/fd"))

    def store(run_id: str) -> None:
        storage.store_event(event_of(run_id))
        storage.store_event_batch([event_of(run_id), event_of(run_id)])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store, [*runs, *runs]))
    assert {run_id: len(storage.get_logs_for_run(run_id)) for run_id in runs} == dict.fromkeys(
        runs, 6
    )
    # A connection takes three files at most, and threads may have had two to a database.
    assert len(os.listdir("/dev/fd")) - before <= 6 * OPEN_DATABASES
