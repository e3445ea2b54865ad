"""A world of simulated tills at which fraud is committed, with the model that is to find it."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from dagster import DagsterInstance, ExecuteInProcessResult, materialize
from worlds import SILVER, STREAM, Streams

from aquifer.downstream import Downstream
from aquifer.landing import LandingFolder
from aquifer.loops import Loops
from aquifer.models.assets import model_assets
from aquifer.models.registry import Registry
from aquifer.models.training_set import Pinned, TrainingSet
from aquifer.runtime import Runtime
from aquifer.stream_assets import stream_asset
from assets import tables
from assets.models.transaction_risk import transaction_risk
from resources.registry import RegistryResource
from resources.simulation.streams.catalogue import Catalogue, catalogue
from resources.simulation.streams.stream import EventStream

NAME = transaction_risk.name
SCORES = STREAM[f"predictions.{NAME}"]
ALERTS = STREAM["stream.alerts"]
VIEWS = list(transaction_risk.features)
START = datetime(2026, 3, 2, tzinfo=UTC)

Event = dict[str, Any]


class Tills(Streams):
    """A world in which events of tills and verdicts arrive, and are scored."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.registries = RegistryResource(
            uri=f"sqlite:///{folder}/mlflow/mlflow.db",
            folder=str(folder / "mlflow"),
            leases=str(folder / "leases"),
        )
        self.instance = DagsterInstance.ephemeral()
        self.champions = self.registries.champions
        self.champions.look_seconds = 0
        self.runtime = Runtime(self.engine.spark_session, self.lake, champions=self.champions)

    @property
    def registry(self) -> Registry:
        return self.registries.registry

    @property
    def resources(self) -> dict[str, Any]:
        return {"lake": self.lake_resource, "engine": self.engine, "registry": self.registries}

    def list_prices(self, *products: tuple[str, int]) -> None:
        """Let products have these list prices, in pence."""
        rows = [
            {
                "sku": sku,
                "name": sku,
                "category": "all",
                "list_price": Decimal(pence) / 100,
                "cost": Decimal(0),
                "_deleted": False,
            }
            for sku, pence in products
        ]
        table = SILVER["silver.products"]
        self.lake.append(table.name, pa.Table.from_pylist(rows, table.schema), {})

    def arrive(self, events: Sequence[Event], *, verdicts: Sequence[Event] = ()) -> None:
        """Take events and verdicts into silver."""
        for topic, each in (("pos.events", events), ("pos.verdicts", verdicts)):
            if each:
                self.produce(topic, *each)
                assert self.take_in(topic).accounted

    def features(self) -> None:
        """Compute the features that are out of date."""
        for view in VIEWS:
            self.compute(view)

    def train(self, trials: int = 1) -> ExecuteInProcessResult:
        """Train the model, and promote it if it passes."""
        layers = {"models", "champions"}
        chosen = [a for a in model_assets(transaction_risk) if {k.path[0] for k in a.keys} & layers]
        config = {"ops": {f"models_{NAME}": {"config": {"tuning_trials": trials}}}}
        return materialize(
            chosen,
            instance=self.instance,
            resources=self.resources,
            run_config=config,
            raise_on_error=False,
        )

    def catch_up(self) -> ExecuteInProcessResult:
        """Materialise the table of scores."""
        asset = stream_asset(SCORES)
        return materialize(
            [asset], instance=self.instance, resources=self.resources, raise_on_error=False
        )

    def downstream(self) -> Downstream:
        """Advance scores and alerts as a run does until nothing is left."""
        flow = Downstream(
            self.runtime, self.remote, tables.events, tables.gold, streams=[SCORES, ALERTS]
        )
        Loops(flow.loops()[:2]).run(lambda: True, every=0.05)
        return flow

    def training_set(self) -> TrainingSet:
        """What the model would learn from now."""
        pinned = Pinned.now(self.lake, transaction_risk.upstreams)
        return transaction_risk.learner().training_set(self.runtime, pinned)

    def scores(self) -> dict[str, dict[str, Any]]:
        """The scores by event."""
        rows = self.rows(SCORES.name)
        found = {row["event_id"]: row for row in rows}
        assert len(found) == len(rows)
        return found


def goods(folder: Path) -> Catalogue:
    """What the simulated tills sell while the simulated databases are empty."""
    return catalogue(folder / "orders.db", folder / "rewards.db", LandingFolder(folder), 17)


def simulated(
    sold: Catalogue, start: datetime, days: int, rate: float, fraud: str
) -> tuple[list[Event], list[Event]]:
    """The events of some days in the order of their time, and the verdicts on them."""
    stream = EventStream(17, start, rate, sold, ["pos.events"], clean=True, fraud=fraud)
    batch = stream.batch(0, stream.slots(timedelta(days=days)))
    events, verdicts = (_read(batch.events[topic]) for topic in ("pos.events", "pos.verdicts"))
    return sorted(events, key=lambda event: event["event_time"]), verdicts


def _read(events: pa.Table) -> list[Event]:
    return [json.loads(value) for value in events["value"].to_pylist()]


def chunks(events: Sequence[Event], count: int) -> Iterable[Sequence[Event]]:
    """The events in about so many parts of the same size."""
    size = -(-len(events) // count)
    return (events[at : at + size] for at in range(0, len(events), size))
