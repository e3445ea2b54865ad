"""What tests share: real invoice files, a home of their own, and processes to work in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import progress
import pytest
from dagster import DagsterInstance
from disk import Disk
from reliability import fault, only_faults, pytest_addoption, pytest_terminal_summary

from aquifer.dagster_home import dagster_home
from aquifer.lake import Lake
from aquifer.lease import FileLeases
from aquifer.query import Queries

__all__ = ["fault", "pytest_addoption", "pytest_terminal_summary"]

PROJECT = Path(__file__).parents[1]


def invoice_files() -> list[Path]:
    """The invoice files of AQUIFER_TEST_DATA, else the sample, by day."""
    folder = Path(os.environ.get("AQUIFER_TEST_DATA") or PROJECT / "data" / "online-retail")
    return sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))


LONGEST = (
    *("parity", "server_faults", "simulated_drift"),
    *("killed_runs", "drain_faults", "storage_faults", "batch_boundaries", "bad_input"),
    "model_server",
    *("gold_changes", "up", "warm_runs", "snapshots", "store_sales", "serving", "windows"),
    *("alerts", "drain", "numbers", "command", "maintenance", "proportional_work", "redelivery"),
)


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """The longest files first, so that no worker begins one when the others are done.

    It takes `--no-loadscope-reorder` to keep them there.
    """
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items[:] = sorted(
        only_faults(items, config), key=lambda item: order.get(item.path.name, len(order))
    )


def start(*arguments: str, home: Path, **settings: str) -> subprocess.Popen:
    """The `aquifer` command in a process of its own, on a home."""
    return subprocess.Popen(
        [sys.executable, "-m", "aquifer.cli", *arguments],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_HOME": str(home), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ALERTS = "stream.alerts"


class Home:
    """A platform home, looked at through the query path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake(str(folder / "lake"), FileLeases(folder / "leases"))

    def rows(self, sql: str) -> list[dict]:
        return Queries(self.lake).run(sql).to_pylist()

    def content(self, table: str) -> list[tuple]:
        """The live rows of a table in any order, without the columns of the platform.

        Of alerts those that stand: how they came to is not of the events alone.
        """
        alerts = f"(select * exclude raised_at from {ALERTS} where retracted_at is null)"
        result = Queries(self.lake).run(f"select * from {alerts if table == ALERTS else table}")
        columns = sorted(name for name in result.column_names if not name.startswith("_"))
        return sorted(zip(*(result[name].to_pylist() for name in columns), strict=True), key=repr)

    def tables(self) -> list[str]:
        """Silver and gold tables, without the quarantines."""
        return [
            name
            for name in self.lake.names()
            if not name.startswith("bronze.") and not name.endswith("_quarantine")
        ]

    def differing(self, other: "Home", tables: Sequence[str] | None = None) -> list[str]:
        """Of the tables that both have, or of some, those whose live rows are not the same."""
        if tables is None:
            assert self.lake.names() == other.lake.names()
        looked_at = self.tables() if tables is None else tables
        return [name for name in looked_at if self.content(name) != other.content(name)]


def copy_of(home: Home, tmp_path_factory: pytest.TempPathFactory, name: str) -> Home:
    """A home that is as another."""
    folder = tmp_path_factory.mktemp(name) / "home"
    shutil.copytree(home.folder, folder)
    return Home(folder)


@contextmanager
def dagster_instance(home: Path, database: str | None = None) -> Iterator[DagsterInstance]:
    """The Dagster instance under AQUIFER_HOME, as `aquifer` makes it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dagster_home(home, PROJECT / "dagster.yaml", database).items():
            patch.setenv(name, value)
        with DagsterInstance.get() as instance:
            yield instance


class Nursery:
    """A process that forks children to work on homes; see `nursery.py`."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process

    def work(
        self,
        home: Home,
        batches: Sequence[Sequence[Path]],
        *,
        kill_at: int | None = None,
        within: Sequence[str] = progress.WATCHED,
        full_refresh: bool = False,
        **settings: str,
    ) -> int:
        """Let a child take the batches through the platform; its exit code, -9 when killed.

        Args:
            kill_at: kill the child when its home holds so many files; see `progress.count`.
            within: the folders of the home where files are counted.
            settings: environment variables of the child.
        """
        return self._done(
            home,
            kill_at,
            within,
            settings,
            batches=[[str(file) for file in batch] for batch in batches],
            full_refresh=full_refresh,
        )

    def drain(
        self,
        home: Home,
        *,
        idle_seconds: float = 0.0,
        commits_per_compaction: int = 3,
        kill_at: int | None = None,
        within: Sequence[str] = ("lake",),
        **settings: str,
    ) -> int:
        """Let a child drain the event log; its exit code, -9 when killed.

        Args:
            idle_seconds: it ends when no event has come for so long.
            commits_per_compaction: how many commits of a table it puts together.
            kill_at, within, settings: as above.
        """
        drain = {"idle_seconds": idle_seconds, "commits_per_compaction": commits_per_compaction}
        return self._done(home, kill_at, within, settings, drain=drain)

    def _done(
        self,
        home: Home,
        kill_at: int | None,
        within: Sequence[str],
        settings: Mapping[str, str],
        **what: Any,
    ) -> int:
        order = {
            "home": str(home.folder),
            "kill_at": kill_at,
            "within": within,
            "settings": settings,
            **what,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursing(home: Path) -> Iterator[Nursery]:
    """A nursery, which has a home of its own for what it loads."""
    environment = {
        **os.environ,
        "AQUIFER_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "platform")]),
    }
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "tests" / "nursery.py")],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Nursery(process)
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursing(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory):
    """Makes new homes."""

    def make(name: str) -> Home:
        return Home(tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Disk]:
    disk = Disk(tmp_path_factory.mktemp("disk"))
    yield disk
    disk.close()
