"""The model registry on PostgreSQL and on MLflow's server: trained, promoted, taken back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import start
from customers import Customers, constant, rhythms
from mlflow_server import MlflowServer

from aquifer.errors import PassingError
from aquifer.models.registry import CHALLENGER, CHAMPION, PREVIOUS
from assets.models.repeat_purchase import repeat_purchase
from resources.model_registry import opened
from resources.registry import RegistryResource

NAME = repeat_purchase.name
PREDICTIONS = f"predictions.{NAME}"

OPENER = """
import sys
from resources.environment import registry
opened = registry()
print("loaded", flush=True)
sys.stdin.read()
opened.client
"""


@pytest.fixture(params=["PostgreSQL", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new registry."""
    if request.param == "PostgreSQL":
        yield request.getfixturevalue("database")
        return
    server = MlflowServer(tmp_path / "server")
    server.start()
    yield server.uri
    server.kill()


def test_a_model_is_trained_promoted_and_taken_back_by_commands(uri, tmp_path):
    world = Customers(tmp_path)
    world.registries = RegistryResource(
        uri=uri, folder=str(tmp_path / "mlflow"), leases=str(tmp_path / "leases")
    )
    registry = world.registry

    def command(*arguments: str) -> str:
        done = start("model", *arguments, home=tmp_path, AQUIFER_MLFLOW=uri)
        said, told = done.communicate()
        assert (done.returncode, told) == (0, "")
        return said

    def scored_by() -> set[str]:
        assert world.run("predictions").success
        return {row["model_version"] for row in world.rows(PREDICTIONS)}

    world.buy(*rhythms(800, 200))
    assert world.run().success
    assert registry.aliases(NAME) == {CHALLENGER: "1", CHAMPION: "1"}
    assert scored_by() == {"1"}
    second = world.register(constant(len(registry.scorer(NAME, "1").inputs), 0.5))
    assert command("promote", NAME, second) == f"{NAME}: version 2 is champion; before, 1 was\n"
    assert scored_by() == {"2"}
    assert {row["probability"] for row in world.rows(PREDICTIONS)} == {0.5}
    assert command("rollback", NAME) == f"{NAME}: version 1 is champion again, and 2 no more\n"
    assert registry.version(NAME, PREVIOUS) is None
    assert scored_by() == {"1"}
    assert [move.version for move in registry.moves(NAME)] == ["1", "2", "1"]


def test_two_machines_that_open_an_empty_database_at_once_both_have_it(database, tmp_path):
    """Machines have neither a home nor a folder of temporary files in common."""
    opening = []
    for machine in ("one", "another"):
        (tmp_path / machine).mkdir()
        opening.append(
            subprocess.Popen(
                [sys.executable, "-c", OPENER],
                env={
                    **os.environ,
                    "AQUIFER_HOME": str(tmp_path / machine),
                    "AQUIFER_MLFLOW": database,
                    "TMPDIR": str(tmp_path / machine),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    assert [each.stdout.readline() for each in opening] == ["loaded\n"] * 2
    for each in opening:
        each.stdin.close()
    told = [each.stderr.read() for each in opening]
    assert [each.wait() for each in opening] == [0, 0], told
    assert opened(database, tmp_path, str(tmp_path / "leases")).aliases(NAME) == {}


def test_a_database_that_is_away_is_told_of_in_one_line(tmp_path):
    away = opened("postgresql://127.0.0.1:1/x", tmp_path, str(tmp_path / "leases"))
    with pytest.raises(PassingError, match=r"cannot reach PostgreSQL: .*refused"):
        away.aliases(NAME)
