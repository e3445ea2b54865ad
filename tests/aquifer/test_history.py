"""Old runs are forgotten whole, but for those that say how things are now."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import dagster_instance
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
)
from dagster._core.storage.schedules.schema import AssetDaemonAssetEvaluationsTable
from sqlalchemy import insert, select

from aquifer.foreground import Outcome, run_job
from aquifer.history import forget_runs
from assets.definitions import defs

DAY = "2011-01-01"


@asset
def table() -> None:
    """A table."""
    print("printed")


@asset
def seldom() -> None:
    """A table that is made once."""


@asset(partitions_def=DailyPartitionsDefinition(DAY, end_date="2011-01-03"))
def days() -> None:
    """A table of days."""


@asset_check(asset=table)
def good() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


CHECK = AssetCheckKey(AssetKey("table"), "good")


def run(instance: DagsterInstance, name: str, **tags: str) -> str:
    """Materialise a table; the run."""
    job = define_asset_job(f"make_{name}", AssetSelection.assets(name))
    defined = Definitions(
        [table, seldom, days], jobs=[job], asset_checks=[good], executor=in_process_executor
    )
    outcome = Outcome()
    run_job(defined.resolve_job_def(job.name), instance, outcome, tags)
    assert outcome.ok
    return instance.get_runs(limit=1)[0].run_id


def traces(home: Path, run_id: str) -> list[str]:
    """Where a run is still spoken of below the Dagster home."""
    found = [str(path) for path in (home / "dagster").rglob(f"{run_id}*")]
    for database in ("runs.db", "runs/index.db"):
        with sqlite3.connect(home / "dagster" / "history" / database) as connection:
            tables = connection.execute("select name from sqlite_master where type = 'table'")
            for (name,) in tables.fetchall():
                rows = connection.execute(f"select * from {name}").fetchall()
                found += [f"{database} {name}" for row in rows if run_id in str(row)]
    return found


def test_old_runs_go_with_all_traces_but_the_latest_of_a_table_and_those_of_partitions(tmp_path):
    home = tmp_path / "home"
    with dagster_instance(home) as instance:
        rare = run(instance, "seldom")
        old = [run(instance, "table") for _ in range(2)]
        day = run(instance, "days", **{"dagster/partition": DAY})
        other_day = run(instance, "days", **{"dagster/partition": "2011-01-02"})
        latest = run(instance, "table")
        assert forget_runs(instance, datetime.now(UTC) - timedelta(days=1)) == 0
        assert forget_runs(instance, datetime.now(UTC) + timedelta(days=1)) == len(old)
        assert {run.run_id for run in instance.get_runs()} == {rare, day, other_day, latest}
        assert [traces(home, run_id) for run_id in old] == [[], []]
        for key in ("table", "seldom"):
            assert instance.get_latest_materialization_event(AssetKey(key)) is not None
        assert instance.get_materialized_partitions(AssetKey("days")) == {DAY, "2011-01-02"}
        storage = instance.event_log_storage
        executions = storage.get_asset_check_execution_history(CHECK, limit=5)
        assert [execution.run_id for execution in executions] == [latest]
        # And it goes on.
        assert forget_runs(instance, datetime.now(UTC) + timedelta(days=1)) == 0
        run(instance, "table")


def test_evaluations_are_kept_for_a_day(tmp_path):
    with dagster_instance(tmp_path / "home") as instance:
        storage = instance.schedule_storage
        with storage.connect() as connection:
            connection.execute(
                insert(AssetDaemonAssetEvaluationsTable),
                [
                    {"evaluation_id": hours, "create_timestamp": datetime.now(UTC) - age}
                    for hours in (1, 23, 25)
                    for age in [timedelta(hours=hours)]
                ],
            )
        storage.purge_asset_evaluations((datetime.now(UTC) - timedelta(days=30)).timestamp())
        with storage.connect() as connection:
            kept = connection.execute(select(AssetDaemonAssetEvaluationsTable.c.evaluation_id))
            assert sorted(kept.scalars()) == [1, 23]


def test_the_maintenance_forgets_runs_of_the_days_that_are_set(tmp_path, monkeypatch):
    monkeypatch.setenv("AQUIFER_RUN_DAYS", "0")
    with dagster_instance(tmp_path / "home") as instance:
        run(instance, "table")
        run(instance, "table")
        job = defs.resolve_job_def("maintain").get_subset(op_selection=["forget_history"])
        assert job.execute_in_process(instance=instance).success
        # The latest of the table, and the maintenance itself.
        assert len(instance.get_runs()) == 2


def test_days_that_are_no_number_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AQUIFER_RUN_DAYS", "a month")
    job = defs.resolve_job_def("maintain").get_subset(op_selection=["forget_history"])
    why = "AQUIFER_RUN_DAYS is 'a month'; write a number of days"
    with dagster_instance(tmp_path / "home") as instance, pytest.raises(Exception, match=why):
        job.execute_in_process(instance=instance)
