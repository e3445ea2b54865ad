"""A world of customers who buy again, each in a rhythm of their own, and its models."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import mlflow
import onnx
from dagster import DagsterInstance, ExecuteInProcessResult, materialize
from onnx import TensorProto, helper
from pyarrow import parquet
from worlds import MadeUp

from aquifer.models.assets import model_assets
from aquifer.models.model import Model
from aquifer.models.registry import REFERENCE, Registry
from assets.features.customer_behaviour import customer_behaviour
from assets.models.repeat_purchase import repeat_purchase
from resources.registry import RegistryResource

FIRST = datetime(2011, 1, 3, 12, tzinfo=UTC)
LINES = "silver.invoice_lines"


def purchase(number: int, customer: str, at: datetime, quantity: int = 3) -> dict[str, Any]:
    """An invoice line of a customer."""
    return {
        "line_id": str(number),
        "invoice_no": f"{500_000 + number}",
        "stock_code": "22423",
        "description": "CAKE STAND",
        "quantity": quantity,
        "unit_price": Decimal("2.5"),
        "customer_id": customer,
        "country": "United Kingdom",
        "invoiced_at": at,
        "net_amount": Decimal("2.5") * quantity,
        "line_type": "sale",
    }


def rhythms(
    customers: int, days: int, *, seed: int = 5, first: datetime = FIRST, quantity: int = 3
) -> list[dict[str, Any]]:
    """Purchases of customers, half of whom buy every week and half every other month."""
    dice = Random(seed)
    rows: list[dict[str, Any]] = []
    for n in range(customers):
        gap, day = (6 if n % 2 else 55), dice.uniform(0, 40)
        while day < days:
            at = first + timedelta(days=day)
            rows.append(purchase(len(rows), str(10_000 + n), at, quantity))
            day += dice.expovariate(1 / gap) + 1
    return rows


class Customers(MadeUp):
    """A world with the purchases of customers, their features, and the registry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.registries = RegistryResource(
            uri=f"sqlite:///{folder}/mlflow/mlflow.db",
            folder=str(folder / "mlflow"),
            leases=str(folder / "leases"),
        )
        self.instance = DagsterInstance.ephemeral()

    @property
    def registry(self) -> Registry:
        return self.registries.registry

    @property
    def resources(self) -> dict[str, Any]:
        return {"lake": self.lake_resource, "engine": self.engine, "registry": self.registries}

    def buy(self, *rows: Mapping[str, Any]) -> None:
        """Take in purchases, and compute the features of the days that they touch."""
        self.put(LINES, *map(dict, rows))
        self.compute(customer_behaviour)

    def register(self, graph: onnx.ModelProto) -> str:
        """Register a graph as a version of the model, as the first one is but for what it says."""
        name = repeat_purchase.name
        manifest = dict(self.registry.scorer(name, "1").manifest)
        manifest["sha256"] = hashlib.sha256(graph.SerializeToString()).hexdigest()
        mlflow.set_tracking_uri(self.registry.uri)
        with mlflow.start_run(experiment_id=self.registry.experiment(name)) as run:
            info = mlflow.onnx.log_model(
                graph,
                name=name,
                pip_requirements=[],
                save_as_external_data=False,
                metadata={"manifest": manifest},
            )
            rows = self.registry.reference(name, "1")
            parquet.write_table(rows, self.folder / REFERENCE)
            mlflow.log_artifact(str(self.folder / REFERENCE))
        return self.registry.register(name, info.model_id, run.info.run_id, "made by hand")

    def run(
        self, *layers: str, model: Model = repeat_purchase, trials: int = 3
    ) -> ExecuteInProcessResult:
        """Materialise a model's assets, or those of some layers, as Dagster does."""
        assets = model_assets(model)
        chosen = [
            asset
            for asset in assets
            if not layers or {key.path[0] for key in asset.keys} & {*layers}
        ]
        return materialize(
            chosen,
            instance=self.instance,
            resources=self.resources,
            run_config={"ops": {f"models_{model.name}": {"config": {"tuning_trials": trials}}}}
            if not layers or "models" in layers
            else None,
            raise_on_error=False,
        )


def constant(inputs: int, probability: float) -> onnx.ModelProto:
    """The graph of a model that says the same of everyone; NaN is no number."""
    nodes = [
        helper.make_node("ReduceMax", ["features"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["most", "most"], ["apart"]),
        helper.make_node("Clip", ["apart", "zero", "zero"], ["none"]),
        helper.make_node("Add", ["none", "said"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, inputs])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("said", TensorProto.FLOAT, [], [probability]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def failed_checks(result: ExecuteInProcessResult) -> dict[str, str]:
    """The checks of a run that did not pass, with what they said."""
    return {
        evaluation.check_name: evaluation.description or ""
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    }


def failure(result: ExecuteInProcessResult) -> str:
    """What the first step that failed said."""
    events = [event for event in result.all_events if event.is_step_failure]
    data = events[0].step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)
