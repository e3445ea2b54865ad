"""A run outlives the death of Spark's servers: its steps are tried again, on a new session."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import progress
import pytest
from conftest import invoice_files, start

from deploy.servers import Server

DEADLINE_SECONDS = 300


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> Path:
    """A folder of the invoice files of two days."""
    folder = tmp_path_factory.mktemp("days")
    for file in invoice_files()[:2]:
        shutil.copy(file, folder)
    return folder


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_main_job_outlives_worker_and_connect_server(
    homes, days, spark, spark_worker, fault, tmp_path
):
    embedded, home = homes("embedded"), homes("spark")
    undisturbed = start("demo", "--data", str(days), home=embedded.folder)
    assert undisturbed.wait() == 0, undisturbed.communicate()
    settings = {"AQUIFER_ENV": "cluster", "AQUIFER_ENGINE": spark.url}
    lake = str(home.folder / "lake")
    run = start("demo", "--data", str(days), home=home.folder, AQUIFER_LAKE=lake, **settings)

    def written(layer: str) -> int:
        assert run.poll() is None, run.communicate()
        return progress.count(home.folder, [f"lake/{layer}"])

    for server, layer in ((spark_worker, "silver"), (spark, "gold")):
        begun = written(layer)
        until(lambda layer=layer, begun=begun: written(layer) > begun + 2)
        with fault(f"kill -9 of {server.name}, in {layer} of the main job"):
            die(server)
            stands = written(layer)
            until(lambda layer=layer, stands=stands: written(layer) > stands)
    assert run.wait() == 0, run.communicate()
    assert home.differing(embedded) == []


def die(server: Server) -> None:
    """Kill a server, which is then started again, as a service manager does."""
    server.signal(signal.SIGKILL)
    server.wait()
    server.start()


def test_a_home_that_was_killed_on_spark_goes_on(homes, nursery, spark, fault):
    """Between staging, merging and recording: wherever a commit or a file had just been written."""
    file = min(invoice_files(), key=lambda file: file.stat().st_size)
    undisturbed, home = homes("embedded"), homes("killed")
    assert nursery.work(undisturbed, [[file]]) == 0
    files = progress.count(undisturbed.folder)
    with fault("kill -9 of runs on Spark, in bronze, silver and gold"):
        for share in (0.3, 0.5, 0.9):
            target = max(int(share * files), progress.count(home.folder) + 1)
            code = nursery.work(home, [[file]], kill_at=target, AQUIFER_ENGINE=spark.url)
            assert code == -signal.SIGKILL
        assert nursery.work(home, [[file]], AQUIFER_ENGINE=spark.url) == 0
    assert home.differing(undisturbed, home.lake.names()) == []
