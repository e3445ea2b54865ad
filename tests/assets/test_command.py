"""The command says in one line what is wrong, and its exit code means something."""

import csv
import gzip
import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from conftest import dagster_instance, invoice_files, start
from dagster import AssetKey

from aquifer.lake import Lake
from aquifer.lease import FileLeases


def aquifer(*arguments: str, home: Path, **settings: str) -> subprocess.CompletedProcess:
    process = start(*arguments, home=home, **settings)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for file in invoice_files()[:1]:
        (folder / file.name).write_bytes(file.read_bytes())
        os.utime(folder / file.name, (1_300_000_000, 1_300_000_000))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory, data) -> Path:
    home = tmp_path_factory.mktemp("home with a space")
    done = aquifer("demo", "--data", str(data), home=home)
    assert done.returncode == 0, done.stderr + done.stdout
    # Beside the tables, it tells of its progress and of nothing else.
    assert {line.split()[0] for line in done.stderr.splitlines() if line} == {"main", "snapshots"}
    return home


def test_the_demo_leaves_its_runs_in_the_instance_that_the_ui_opens(home):
    with dagster_instance(home) as instance:
        runs = {run.job_name: run.status.value for run in instance.get_runs()}
    assert runs == {"main": "SUCCESS", "snapshots": "SUCCESS"}


def test_every_materialisation_records_the_versions_that_it_read_and_wrote(home):
    with dagster_instance(home) as instance:
        for name, upstream in (
            ("silver.invoice_lines", "bronze.invoice_lines"),
            ("gold.fct_sales", "silver.invoice_lines"),
        ):
            event = instance.get_latest_materialization_event(AssetKey(name.split(".")))
            metadata = event.asset_materialization.metadata
            assert metadata["version written"].value >= 1
            assert metadata["versions read"].value[upstream] >= 1
            assert metadata["dagster/column_lineage"].value.deps_by_column
            tags = event.asset_materialization.tags
            assert tags["dagster/data_version"] == str(metadata["version written"].value)
            assert "|" in metadata["sample"].value


def test_a_number_is_reproduced_from_the_versions_that_were_recorded(home, tmp_path):
    with dagster_instance(home) as instance:
        event = instance.get_latest_materialization_event(AssetKey(["gold", "daily_sales"]))
    metadata = event.asset_materialization.metadata
    written, read = metadata["version written"].value, metadata["versions read"].value
    # The lake goes on.
    shutil.copytree(home / "lake", tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    for name in ("gold.daily_sales", "gold.fct_sales"):
        lake.table(name).delete("country = 'United Kingdom'")

    def answer(sql: str) -> str:
        done = aquifer("query", sql, "--format", "csv", home=tmp_path)
        return done.stdout + done.stderr

    mart = f"select sum(revenue) as n from gold.daily_sales version as of {written}"
    fact = f"select sum(net_amount) as n from gold.fct_sales version as of {read['gold.fct_sales']}"
    assert answer(mart) == answer(fact) != answer("select sum(revenue) as n from gold.daily_sales")
    for name in ("gold.daily_sales", "gold.fct_sales"):
        lake.table(name).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert f"version {written} of gold.daily_sales cannot be read any more" in answer(mart)


def test_query_answers_in_json(home):
    done = aquifer(
        "query",
        "select line_type, count(*) as n from gold.fct_sales group by 1",
        "--format",
        "json",
        home=home,
    )
    rows = json.loads(done.stdout)
    assert {row["line_type"] for row in rows} == {"sale", "return"}


def test_query_prints_every_column_of_one_name(tmp_path):
    sql = "select 1 as a, 2 as a"
    done = {f: aquifer("query", sql, "--format", f, home=tmp_path).stdout for f in ("csv", "json")}
    assert done["csv"].splitlines() == ["a,a_1", "1,2"]
    assert json.loads(done["json"]) == [{"a": 1, "a_1": 2}]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_instants_are_utc_under_any_time_zone_of_the_host(home, data, zone):
    (file,) = data.iterdir()
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as text:
        first = min(datetime.fromisoformat(row["InvoiceDate"]) for row in csv.DictReader(text))
    sql = (
        "select min(invoiced_at) as first, hour(min(invoiced_at)) as hour from silver.invoice_lines"
    )
    done = aquifer("query", sql, "--format", "csv", home=home, TZ=zone)
    assert done.stdout.splitlines() == ["first,hour", f"{first.isoformat()},{first.hour}"]


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["query", "select * from gold.nothing"], {}, "there is no table gold.nothing"),
        (["query", "selekt 1"], {}, "syntax error"),
        (["query", ""], {}, "the statement is empty"),
        (["query", "select 1"], {"AQUIFER_ENV": "moon"}, "use one of local, cluster, azure"),
        (["query", "select 1"], {"AQUIFER_ENV": "cluster"}, "needs AQUIFER_LAKE"),
        (["query", "select 1"], {"AQUIFER_ENGINE": "spark://x"}, "use sail:// or sc://host:port"),
        (["up"], {"AQUIFER_ENGINE": "sc://"}, "use sail:// or sc://host:port"),
        (["up"], {"AQUIFER_ENV": "moon"}, "use one of local, cluster, azure"),
        (["up"], {"AQUIFER_LAKE": "README.md"}, "cannot write the lake README.md"),
        (["up"], {"AQUIFER_HOME": "README.md"}, "set AQUIFER_LAKE or AQUIFER_HOME"),
        (["demo", "--data", "absent"], {}, "the folder absent does not exist"),
        (["demo", "--data", "docs"], {}, "holds no .csv"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, arguments, settings, said):
    done = aquifer(*arguments, home=tmp_path, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
