"""A home with trained models, the service that answers for them, and its clients."""

import hashlib
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import onnx
from conftest import start
from onnx import TensorProto, helper
from ups import free_port, until

from aquifer.features.online import entity_key
from aquifer.models.families import FAMILIES, learned
from aquifer.models.registry import Registry
from aquifer.models.training_set import inputs_of
from assets.features.customer_behaviour import TIERS, customer_behaviour
from resources.environment import resources

MODEL = "repeat_purchase"
VIEW = customer_behaviour.name
INPUTS = inputs_of(customer_behaviour, customer_behaviour.features)
CUSTOMERS = [str(12_000 + n) for n in range(300)]
EVENT_TIME = "2011-03-01T00:00:00+00:00"


def features() -> dict[str, dict[str, Any]]:
    """Made-up features of each customer, some without what needs two purchases."""
    random = np.random.default_rng(7)
    made = {}
    for customer in CUSTOMERS:
        row: dict[str, Any] = {each.name: round(random.uniform(1, 90), 3) for each in INPUTS}
        row["loyalty_tier"] = TIERS[random.integers(len(TIERS))]
        if random.random() < 0.3:
            row["mean_gap_days"] = row["overdue"] = None
        made[customer] = row
    return made


FEATURES = features()


def graph(trees: int) -> onnx.ModelProto:
    """A model that has learned who has bought lately."""
    matrix = np.array(
        [[each.number(row[each.name]) for each in INPUTS] for row in FEATURES.values()], np.float32
    )
    bought = (matrix[:, 0] + np.random.default_rng(1).normal(0, 20, len(matrix)) < 40).astype(float)
    parameters = {"n_estimators": trees, "num_leaves": 7, "min_child_samples": 5}
    return FAMILIES["boosting"].graph(learned("boosting", parameters, matrix, bought), len(INPUTS))


def without_number(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model that comes to NaN."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[-1].output[0] = "whole"
    nan = helper.make_tensor("nan", TensorProto.FLOAT, [], [float("nan")])
    broken.graph.initializer.append(nan)
    broken.graph.node.append(helper.make_node("Mul", ["whole", "nan"], ["probability"]))
    return broken


def without_number_above(model: onnx.ModelProto, limit: float) -> onnx.ModelProto:
    """A model that comes to NaN when its first input is above a limit."""
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    broken.graph.node[-1].output[0] = "whole"
    broken.graph.initializer.extend(
        [
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
            helper.make_tensor("limit", TensorProto.FLOAT, [], [limit]),
            helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
        ]
    )
    broken.graph.node.extend(
        [
            helper.make_node("Gather", ["features", "first"], ["given"], axis=1),
            helper.make_node("Sub", ["limit", "given"], ["left"]),
            helper.make_node("Log", ["left"], ["log"]),
            helper.make_node("Mul", ["log", "nothing"], ["none"]),
            helper.make_node("Add", ["whole", "none"], ["probability"]),
        ]
    )
    return broken


def register(registry: Registry, model: onnx.ModelProto) -> str:
    """Log a model and register it; its version."""
    octets = model.SerializeToString()
    manifest = {
        "name": MODEL,
        "inputs": [each.to_json() for each in INPUTS],
        "outputs": [{"name": "probability", "categories": None}],
        "sha256": hashlib.sha256(octets).hexdigest(),
        "versions_read": {},
    }
    experiment = registry.experiment(MODEL)
    mlflow.set_tracking_uri(registry.uri)
    with mlflow.start_run(experiment_id=experiment) as run:
        info = mlflow.onnx.log_model(
            model,
            name=MODEL,
            pip_requirements=["onnxruntime"],
            save_as_external_data=False,
            metadata={"manifest": manifest},
        )
    return registry.register(MODEL, info.model_id, run.info.run_id, "made up")


class Answer(NamedTuple):
    """What the service says."""

    status: int
    body: Any
    headers: Mapping[str, str]


JSON = {"Content-Type": "application/json"}


def _answer(connection: http.client.HTTPConnection) -> Answer:
    with closing(connection):
        response = connection.getresponse()
        said = response.read()
    whole = json.loads(said) if response.headers["Content-Type"] == JSON["Content-Type"] else said
    return Answer(response.status, whole, response.headers)


class Service:
    """The service on a home.

    Attributes:
        home: its home.
        registry: the registry that it follows.
        first, second: versions that can be champion.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        wired = resources({"AQUIFER_HOME": str(home)})
        self.registry: Registry = wired["registry"].registry
        rows = (
            (entity_key([customer]), json.dumps({**row, "event_time": EVENT_TIME}))
            for customer, row in FEATURES.items()
        )
        wired["online"].store.replace(VIEW, rows)
        self.first, self.second = (register(self.registry, graph(trees)) for trees in (20, 40))
        self.registry.promote(MODEL, self.first, "a test", "the first")
        self.port = free_port()
        self.process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask the service."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        text = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, text, JSON)
        return _answer(connection)

    def begin(self, header: tuple[str, str]) -> int:
        """The answer to a request of which only the head is sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest("POST", f"/models/{MODEL}/predict")
        connection.putheader(*header)
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        return status

    def predict(self, body: Any, model: str = MODEL) -> Answer:
        return self.ask("POST", f"/models/{model}/predict", body)

    def predict_at_once(self, body: Any, times: int) -> list[Answer]:
        """The answers to a request that is sent so often before any answer is looked at."""
        text = json.dumps(body).encode()
        connections = [
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=60) for _ in range(times)
        ]
        for each in connections:
            each.connect()
        for each in connections:
            each.request("POST", f"/models/{MODEL}/predict", text, JSON)
        return [_answer(each) for each in connections]

    def predict_for(self, *customers: str) -> list[dict[str, Any]]:
        answer = self.predict([{"entity": {"customer_id": each}} for each in customers])
        assert answer.status == 200, answer
        return answer.body

    def champion(self) -> str:
        """The version that answers."""
        return str(self.predict_for(CUSTOMERS[0])[0]["model_version"])

    def ready(self) -> Answer | None:
        """What it says of itself; None when it does not answer, or is not ready."""
        with suppress(OSError):
            answer = self.ask("GET", "/readyz")
            return answer if answer.status == 200 else None
        return None

    def problem(self, model: str = MODEL) -> str:
        """What is not as it should be."""
        return str(self.ask("GET", "/readyz").body["problems"].get(model, ""))

    def metric(self, line: str) -> float:
        """A figure of the metrics, by what stands before it."""
        text = self.ask("GET", "/metrics").body.decode()
        return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))


@contextmanager
def serving(home: Path) -> Iterator[Service]:
    """A service on a new home; what is left of it is killed."""
    service = Service(home)
    service.process = start("model", "serve", "--port", str(service.port), home=home)
    try:
        until(lambda: service.process.poll() is not None or service.ready())
        assert service.process.poll() is None, service.process.communicate()
        yield service
    finally:
        service.process.kill()
        service.process.wait()


def only(folder: Path, packages: Sequence[str]) -> Path:
    """A folder from which these packages can be imported, and no other."""
    folder.mkdir()
    for package in packages:
        origin = Path(__import__(package).__file__).parent
        for part in (origin, origin.with_name(f"{package}.libs")):
            if part.exists():
                (folder / part.name).symlink_to(part)
    return folder
