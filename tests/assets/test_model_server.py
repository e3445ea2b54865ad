"""MLflow's server goes down while a model is trained: one line, and nothing is half done."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from customers import Customers, rhythms
from mlflow_server import MlflowServer

from aquifer.models.errors import RegistryDown
from aquifer.models.gates import GATE
from aquifer.models.registry import CHALLENGER, Registry
from aquifer.models.training import Budget, train
from assets.models.repeat_purchase import repeat_purchase
from resources.model_registry import opened
from resources.registry import RegistryResource

NAME = repeat_purchase.name
PREDICTIONS = f"predictions.{NAME}"
API = "/api/2.0/mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server") / "mlflow")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, server: MlflowServer) -> Customers:
    """A world whose model was trained once, and promoted, on the server."""
    world = Customers(tmp_path_factory.mktemp("trained"))
    world.registries = RegistryResource(
        uri=server.uri,
        folder=str(world.folder / "mlflow"),
        leases=str(world.folder / "leases"),
    )
    world.buy(*rhythms(800, 200))
    assert world.run().success
    return world


def held(world: Customers, server: MlflowServer) -> Registry:
    """What the server's database holds, which tells also while the server is down."""
    return opened(server.database, world.folder / "beside", str(world.folder / "leases"))


@pytest.mark.parametrize(
    ("at", "request_"),
    [
        ("learned", f"POST {API}/runs/create"),
        ("half stored", f"PUT {API}-artifacts"),
        ("registered", f"POST {API}/registered-models/alias"),
    ],
    ids=["learned", "half stored", "registered"],
)
def test_a_server_that_dies_in_a_training_is_one_line_and_no_alias_moves(
    trained, server, fault, at, request_
):
    aliases = trained.registry.aliases(NAME)
    with fault(f"kill -9 of MLflow's server, a model {at}"):
        server.die_at(request_)
        with pytest.raises(RegistryDown) as raised:
            train(
                repeat_purchase,
                trained.runtime,
                trained.registry,
                trained.registries.studies,
                Budget(20.0, 3),
                {},
            )
        said = str(raised.value)
        assert said.startswith(f"MLflow does not answer: API request to {server.uri}")
        assert "; start the server or database that AQUIFER_MLFLOW names" in said
        assert "\n" not in said
        assert held(trained, server).aliases(NAME) == aliases
        server.start()
    assert trained.registry.aliases(NAME) == aliases


def test_a_training_is_tried_again_until_the_server_is_back(trained, server, fault):
    before = trained.registry.aliases(NAME)
    with fault("kill -9 of MLflow's server in a training"), ThreadPoolExecutor(1) as pool:
        server.die_at(f"POST {API}/model-versions/create")
        again = pool.submit(server.start_again)
        result = trained.run("models")
        again.result()
    (event,) = result.get_asset_materialization_events()
    challenger = event.materialization.metadata["model version"].value
    assert challenger != before[CHALLENGER]
    assert trained.registry.aliases(NAME) == {**before, CHALLENGER: challenger}
    assert {each for each in trained.registry.tags(NAME, challenger) if each.startswith(GATE)} == {
        f"{GATE}{gate}" for gate in repeat_purchase.gates
    }


def test_predictions_stay_when_the_server_dies_while_a_champion_is_fetched(trained, server, fault):
    before = trained.content(PREDICTIONS)
    shutil.rmtree(trained.folder / "mlflow" / "bundles")
    with fault("kill -9 of MLflow's server as a champion is fetched"):
        server.die_at(f"GET {API}-artifacts")
        with pytest.raises(RegistryDown, match="MLflow does not answer") as raised:
            trained.registry.champion(NAME)
        assert "\n" not in str(raised.value)
        server.start()
        assert trained.run("predictions").success
    assert trained.content(PREDICTIONS) == before
