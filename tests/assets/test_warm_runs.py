"""Runs are forked from a server that has everything loaded, and kept watch over as Dagster's."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import PROJECT, dagster_instance
from dagster import AssetKey, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from aquifer import warm_client
from aquifer.lease import FileLeases
from aquifer.run_process import RunProcess
from assets.definitions import defs

PATIENCE_SECONDS = 60
PROMPT_SECONDS = 15
TABLE = "bronze.stores"


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> object:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{condition} did not come true"
        time.sleep(0.02)
    return value


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Platform:
    """A copy of the project, a home, the warm server of both, and Dagster's workspace."""

    def __init__(self, project: Path, home: Path) -> None:
        self.project = project
        self.home = home
        self.said = home / "said"
        self.server = self._serve()

    def _serve(self) -> subprocess.Popen:
        folder = str(self.home / "dagster")
        return subprocess.Popen(
            [sys.executable, "-m", "aquifer.warm_server", folder, str(self.project)],
            cwd=self.project,
            stdout=self.said.open("a"),
            stderr=subprocess.STDOUT,
        )

    def connect(self, instance: DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        self.instance, self.workspace = instance, workspace
        request = workspace.create_request_context()
        (repository,) = request.get_code_location("aquifer").get_repositories().values()
        self.job = repository.get_full_job("__ASSET_JOB")

    def launch(self, table: str = TABLE) -> str:
        """Launch a run of a table, as the UI does; its id."""
        selection = frozenset([AssetKey(table.split("."))])
        job = defs.get_repository_def().get_maybe_subset_job_def(
            "__ASSET_JOB", asset_selection=selection
        )
        run = self.instance.create_run_for_job(
            job,
            asset_selection=selection,
            job_code_origin=self.job.get_python_origin(),
            remote_job_origin=self.job.get_remote_origin(),
        )
        self.instance.launch_run(run.run_id, self.workspace.create_request_context())
        return run.run_id

    @contextmanager
    def waiting_run(self) -> Iterator[tuple[str, RunProcess]]:
        """A run whose step waits for its table's lease while the context lasts."""
        with FileLeases(self.home / "leases").hold([TABLE]):
            run_id = self.launch()
            until(lambda: "STEP_START" in self.events(run_id))
            yield run_id, self.process(run_id)

    def process(self, run_id: str) -> RunProcess:
        return self.instance.run_launcher.process(run_id)

    def run(self, run_id: str) -> DagsterRun:
        return self.instance.get_run_by_id(run_id)

    def events(self, run_id: str) -> dict[str, str]:
        """The messages of a run's events, by kind."""
        said: dict[str, str] = {}
        for entry in self.instance.all_logs(run_id):
            kind = entry.dagster_event_type.value
            said[kind] = f"{said.get(kind, '')}{entry.message}\n"
        return said

    def ends(self, run_id: str, seconds: float = PATIENCE_SECONDS) -> DagsterRunStatus:
        """How a run ends."""
        until(lambda: self.run(run_id).is_finished, seconds)
        return self.run(run_id).status


@pytest.fixture(scope="module")
def platform(tmp_path_factory) -> Iterator[Platform]:
    project = tmp_path_factory.mktemp("project")
    for name in ("platform", "assets", "resources", "dbt_project"):
        shutil.copytree(PROJECT / name, project / name)
    # A socket's name would not hold it.
    home = tmp_path_factory.mktemp(f"a home {'with a long name ' * 8}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQUIFER_HOME", str(home))
        patch.setenv("PYTHONPATH", f"{project}{os.pathsep}{project / 'platform'}")
        target = ModuleTarget("assets.definitions", "defs", str(project), "aquifer")
        with dagster_instance(home) as instance:
            made = Platform(project, home)
            with WorkspaceProcessContext(instance, target) as workspace:
                made.connect(instance, workspace)
                until(lambda: warm_client.listens(home / "dagster"))
                yield made
                made.server.terminate()
                made.server.wait()


def test_runs_at_once_are_forked_from_one_process_and_end_with_their_memory(platform):
    tables = [TABLE, "bronze.products", "gold.dim_date"]
    with ThreadPoolExecutor(len(tables)) as threads:
        runs = list(threads.map(platform.launch, tables))
    assert [platform.ends(run) for run in runs] == [DagsterRunStatus.SUCCESS] * len(tables)
    for run in runs:
        assert "the default launcher" not in platform.events(run)["ENGINE_EVENT"]
        assert "RUN_START" in platform.process(run).output.read_text()
        until(lambda run=run: platform.process(run).pid is None)
    with platform.waiting_run() as (run, process):
        server = parent(parent(process.pid))
        assert server == platform.server.pid
    assert platform.ends(run) == DagsterRunStatus.SUCCESS


def test_a_killed_run_fails_with_the_reason_and_the_next_does_not_wait(platform):
    with platform.waiting_run() as (run, process):
        os.kill(process.pid, signal.SIGKILL)
        assert platform.ends(run, PROMPT_SECONDS) == DagsterRunStatus.FAILURE
    why = platform.events(run)[DagsterEventType.RUN_FAILURE.value]
    assert "killed by signal 9, which is what the kernel does when memory runs out" in why
    assert "RUN_START" in why
    assert platform.ends(platform.launch(), PROMPT_SECONDS) == DagsterRunStatus.SUCCESS


def test_a_terminated_run_is_canceled_by_itself(platform):
    with platform.waiting_run() as (run, process):
        assert platform.instance.run_launcher.terminate(run)
        assert platform.ends(run, PROMPT_SECONDS) == DagsterRunStatus.CANCELED
        until(lambda: process.pid is None)
    assert "killed" not in platform.events(run)[DagsterEventType.RUN_CANCELED.value]
    assert not platform.instance.run_launcher.terminate(run)


def test_a_terminated_run_that_does_not_end_is_killed(platform):
    with platform.waiting_run() as (run, process):
        os.kill(process.pid, signal.SIGSTOP)
        assert platform.instance.run_launcher.terminate(run)
        process.end(patience_seconds=1)
        assert platform.ends(run, PROMPT_SECONDS) == DagsterRunStatus.CANCELED
    assert "killed by signal 9" in platform.events(run)[DagsterEventType.RUN_CANCELED.value]


def test_a_run_for_other_settings_is_refused(platform, monkeypatch):
    monkeypatch.setenv("AQUIFER_BRONZE_DAYS", "30")
    request = {"settings": warm_client.settings(sys.executable)}
    with pytest.raises(warm_client.WarmServerUnavailable, match="AQUIFER_BRONZE_DAYS"):
        warm_client.ask(platform.home / "dagster", request)


def test_an_offer_is_claimed_or_withdrawn(tmp_path):
    process = RunProcess(tmp_path)
    process.offer()
    assert process.withdraw()
    with process.claim() as mine:
        assert not mine
    assert not process.warm


def test_changed_code_is_loaded_for_the_next_run_and_others_go_on(platform):
    with platform.waiting_run() as (before, process):
        assert "the new code" not in platform.said.read_text()
        with (platform.project / "assets" / "definitions.py").open("a") as definitions:
            definitions.write("print('the new code', flush=True)\n")
        after = platform.launch("bronze.products")
        assert platform.ends(after) == DagsterRunStatus.SUCCESS
        assert "the default launcher" not in platform.events(after)["ENGINE_EVENT"]
        assert platform.said.read_text().count("the new code") == 1
        assert process.pid
    assert platform.ends(before) == DagsterRunStatus.SUCCESS
    # The first server ends with its last run.
    assert platform.server.wait(PATIENCE_SECONDS) == 0


def test_code_that_cannot_be_loaded_and_a_dead_server_fall_back_and_say_so(platform):
    definitions = platform.project / "assets" / "definitions.py"
    whole = definitions.read_text()
    definitions.write_text("raise ValueError('half-written')\n")
    request = {"run_id": "none", "instance": "", "folder": str(platform.home / "none")}
    request["settings"] = warm_client.settings(sys.executable)
    with pytest.raises(warm_client.WarmServerUnavailable, match="its code cannot be loaded"):
        warm_client.ask(platform.home / "dagster", request)
    definitions.write_text(whole)
    with platform.waiting_run() as (run, process):
        server = parent(parent(process.pid))
        os.kill(server, signal.SIGKILL)
        until(lambda: not warm_client.listens(platform.home / "dagster"))
        launcher = platform.instance.run_launcher
        assert launcher.check_run_worker_health(platform.run(run)).status.value == "RUNNING"
        cold = platform.launch("bronze.products")
        assert "No warm server answers" in platform.events(cold)["ENGINE_EVENT"]
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: process.pid is None)
        list(execute_run_monitoring_iteration(platform.workspace, logging.getLogger()))
        assert platform.run(run).status == DagsterRunStatus.FAILURE
        assert "its process has ended" in platform.events(run)[DagsterEventType.RUN_FAILURE.value]
    assert platform.ends(cold) == DagsterRunStatus.SUCCESS
