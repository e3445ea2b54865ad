"""Several workers of one graph, from homes of their own, share a lake by one database."""

import shutil
from pathlib import Path

import pytest
from conftest import dagster_instance, invoice_files, start
from dagster import DagsterRunStatus
from ups import free_port, until, up


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> Path:
    """A folder of the invoice files of two days."""
    folder = tmp_path_factory.mktemp("days")
    for file in invoice_files()[:2]:
        shutil.copy(file, folder)
    return folder


def test_two_main_jobs_at_once_leave_what_one_does(homes, days, database):
    alone = homes("alone")
    assert start("demo", "--data", str(days), home=alone.folder).wait() == 0
    shared = homes("shared")
    settings = {
        "AQUIFER_DATABASE": database,
        "AQUIFER_LAKE": str(shared.folder / "lake"),
        "AQUIFER_LANDING": str(shared.folder / "landing"),
    }
    workers = [homes(name) for name in ("first", "second")]
    runs = [start("demo", "--data", str(days), home=w.folder, **settings) for w in workers]
    for run in runs:
        assert run.wait() == 0, run.communicate()
    assert shared.differing(alone, alone.lake.names()) == []
    with dagster_instance(workers[0].folder, database) as instance:
        statuses = [run.status for run in instance.get_runs() if run.job_name == "main"]
    assert statuses == [DagsterRunStatus.SUCCESS] * 2


def test_one_server_serves_a_database(homes, database):
    first, second = homes("first"), homes("second")
    settings = {"AQUIFER_DATABASE": database}
    with up(first.folder, free_port(), **settings):
        until(lambda: "Dagster is at" in (first.folder / "said").read_text())
        refused = start("up", "--port", str(free_port()), home=second.folder, **settings)
        _, why = refused.communicate()
    assert refused.returncode == 1
    assert "another home on the same database is" in why
