"""Transaction risk: how much fraud is found, on held-out days and in the stream, and how fast.

A lake of its own gets a week of simulated tills; the model learns from it and scores the days after
as they come, also those of a scenario that has shifted, before and after it has learned anew.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import markdown

from aquifer.eventlog import PRODUCED
from aquifer.landing import LandingFolder
from aquifer.models.evaluation import CONFIDENCE, SEED, average_precision_bounds
from aquifer.models.scorer import Scorer
from aquifer.models.training import Budget, Challenger, train
from aquifer.runtime import Runtime
from assets import snapshots, tables
from assets.models.transaction_risk import transaction_risk, transaction_risk_scores
from resources.engine import EngineResource
from resources.event_log.embedded import EmbeddedEventLog
from resources.lake import LakeResource
from resources.online_store import OnlineStoreResource
from resources.registry import RegistryResource
from resources.simulation.streams.catalogue import catalogue
from resources.simulation.streams.stream import EventStream

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TOPICS = ("pos.events", "pos.verdicts")
NAME, SCORES = transaction_risk.name, transaction_risk_scores
SILVER = {table.name: table for table in tables.silver}
SAMPLES = 1000


class Shops:
    """A lake of tills.

    Args:
        rate: events a second.
        seed: of the simulation.
    """

    def __init__(self, folder: Path, rate: float, seed: int) -> None:
        lake = LakeResource(root=str(folder / "lake"), leases=str(folder / "leases"))
        self.registries = RegistryResource(
            uri=f"sqlite:///{folder}/mlflow/mlflow.db",
            folder=str(folder / "mlflow"),
            leases=str(folder / "leases"),
        )
        engine = EngineResource(url="sail://", lake=lake)
        self.lake = lake.lake
        self.champions = self.registries.champions
        self.champions.look_seconds = 0.0
        self.runtime = Runtime(engine.spark_session, self.lake, champions=self.champions)
        self.online = OnlineStoreResource(url=str(folder / "online.db")).store
        self.log = EmbeddedEventLog(folder / "events")
        for topic in TOPICS:
            self.log.create_topic(topic)
        for table in tables.silver:
            self.lake.ensure(table.name, table.schema, table.target.partition)
        nothing = folder / "nothing"
        databases = nothing / "orders.db", nothing / "rewards.db"
        self.sold = catalogue(*databases, LandingFolder(nothing), seed)
        self._list_prices()
        self._rate, self._seed = rate, seed

    def stream(self, start: datetime, fraud: str) -> EventStream:
        return EventStream(self._seed, start, self._rate, self.sold, ["pos.events"], fraud=fraud)

    def arrive(self, events: dict[str, pa.Table]) -> int:
        """Take events into silver; how many of the tills there were."""
        for topic in TOPICS:
            if topic in events:
                self.log.produce(topic, events[topic].cast(PRODUCED))
                table = SILVER[f"silver.{topic.replace('.', '_')}"]
                table.reads.advance(self.lake, self.log)
                table.advance(self.runtime)
        return len(events["pos.events"])

    def features(self) -> float:
        """Compute what is out of date; the seconds that it took."""
        began = time.monotonic()
        for view in transaction_risk.features:
            if days := view.touched(self.lake, snapshots.FIRST_DAY):
                view.advance(self.runtime, self.online, days, snapshots.FIRST_DAY)
        return time.monotonic() - began

    def train(self) -> Challenger:
        """Train, and promote whatever comes of it."""
        registry = self.registries.registry
        made = train(
            transaction_risk, self.runtime, registry, self.registries.studies, Budget(20, 20), {}
        )
        registry.promote(NAME, made.version, "benchmark", "to be measured")
        return made

    def live(self, stream: EventStream, days: range) -> Iterator[tuple[int, int, float]]:
        """Let days come in by hours, and score them; a day's events, and the seconds of scoring."""
        for day in days:
            self.features()
            count, seconds = 0, 0.0
            ends = [stream.slots(day * DAY + n * HOUR) for n in range(25)]
            for first, last in pairwise(ends):
                count += self.arrive(stream.batch(first, last).events)
                began = time.monotonic()
                SCORES.advance(self.runtime)
                seconds += time.monotonic() - began
            yield day, count, seconds

    def found(self, since: datetime, until: datetime) -> dict[str, np.ndarray]:
        """What was said of the events between two instants, and what they were."""
        scores = self.lake.read(
            SCORES.name, None, [("event_time", ">=", since), ("event_time", "<", until)]
        )
        verdicts = self.lake.read("silver.pos_verdicts", ["event_id", "is_fraud"])
        fraud = {row["event_id"] for row in verdicts.to_pylist() if row["is_fraud"]}
        return {
            "fraud": np.array([each in fraud for each in scores["event_id"].to_pylist()], float),
            "said": scores["probability"].to_numpy(),
            "alert": scores["is_suspicious"].to_numpy().astype(float),
            "cashier": np.array(scores["cashier_id"].to_pylist()),
        }

    def _list_prices(self) -> None:
        rows = [
            {
                "sku": sku,
                "name": sku,
                "category": "all",
                "list_price": Decimal(pence) / 100,
                "cost": Decimal(0),
                "_deleted": False,
            }
            for sku, pence in self.sold.products
        ]
        table = SILVER["silver.products"]
        self.lake.append(table.name, pa.Table.from_pylist(rows, table.schema), {})


def share(part: np.ndarray, whole: np.ndarray, cashiers: np.ndarray) -> str:
    """A share with its interval, cashiers drawn together."""
    _, owner = np.unique(cashiers, return_inverse=True)
    count = int(owner.max()) + 1
    parts, wholes = (np.bincount(owner, weights=each, minlength=count) for each in (part, whole))
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), SAMPLES)
    shares = (drawn @ parts) / np.maximum(drawn @ wholes, 1)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return f"{part.sum() / whole.sum():.2f} ({low:.2f} to {high:.2f})"


def precision(said: np.ndarray, fraud: np.ndarray, cashiers: np.ndarray) -> str:
    """The average precision with its interval."""
    from sklearn.metrics import average_precision_score

    low, high = average_precision_bounds(said, fraud, list(cashiers))
    return f"{average_precision_score(fraud, said):.2f} ({low:.2f} to {high:.2f})"


def row(shops: Shops, name: str, since: datetime, count: int, seconds: float) -> Sequence[object]:
    """A day of the stream."""
    found = shops.found(since, since + DAY)
    fraud, alert, cashier = (found[each] for each in ("fraud", "alert", "cashier"))
    return (
        name,
        f"{count:,}",
        int(fraud.sum()),
        precision(found["said"], fraud, cashier),
        share(fraud * alert, alert, cashier),
        share(fraud * alert, fraud, cashier),
        f"{count / seconds:,.0f}",
    )


def held_out(made: Challenger) -> Sequence[Sequence[object]]:
    """The figures of a training."""
    names = ("average_precision", "average_precision_low", "average_precision_high")
    names += ("precision_of_alerts", "recall_of_alerts", "log_loss", "calibration_error")
    both = made.measured.figures, made.baseline.figures
    return [(name, *(f"{figures[name]:.4f}" for figures in both)) for name in names]


def anew(shops: Shops, before: Scorer) -> Sequence[Sequence[object]]:
    """The champion before and one that has learned anew, on the same holdout."""
    made = shops.train()
    part, learner = made.data.holdout, transaction_risk.learner()
    cashiers, fraud = np.array(part.column("cashier_id")), part.label("label")
    rows = []
    for name, scorer in (("before", before), ("learned anew", shops.champions.of(NAME))):
        said = scorer.predict(made.data.holdout_of(scorer.inputs).matrix)["probability"]
        rows.append((name, precision(said, fraud, cashiers)))
    alarms = learner.baseline(made.data)["probability"]
    rows.append(("alarms that people set", precision(alarms, fraud, cashiers)))
    return rows


def latency(
    shops: Shops, stream: EventStream, day: int, sizes: Sequence[int], times: int
) -> Sequence[Sequence[object]]:
    """Seconds of an advance by how many events wait for it."""
    rows, slot = [], stream.slots(day * DAY)
    for size in sizes:
        took = []
        for _ in range(times):
            shops.arrive(stream.batch(slot, slot + size).events)
            slot += size
            began = time.monotonic()
            SCORES.advance(shops.runtime)
            took.append(time.monotonic() - began)
        rows.append(
            (
                f"{size:,}",
                *(f"{np.quantile(took, q):.2f}" for q in (0.5, 0.95)),
                f"{size / np.median(took):,.0f}",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=7, help="what is learned from")
    parser.add_argument("--live", type=int, default=3, help="days scored after, of each scenario")
    parser.add_argument("--rate", type=float, default=0.34, help="events a second")
    parser.add_argument("--seed", type=int, default=17, help="of the simulation")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shops = Shops(Path(folder), asked.rate, asked.seed)
        usual = shops.stream(START, "usual")
        events = shops.arrive(usual.batch(0, usual.slots(asked.days * DAY)).events)
        seconds = shops.features()
        made = shops.train()
        print(
            f"{events:,} events: features {seconds:.1f} s, training {made.seconds:.1f} s with "
            f"{made.choice.trials} trials in 20 s"
        )
        markdown("Held out (the last day)", ("", "model", "alarms"), held_out(made))
        rows = []
        for day, count, took in shops.live(usual, range(asked.days, asked.days + asked.live)):
            rows.append(row(shops, f"usual, day {day + 1}", START + day * DAY, count, took))
        waiting = latency(shops, usual, asked.days + asked.live, (10, 100, 1000, 5000), 5)
        began = START + (asked.days + asked.live + 2) * DAY
        shifted = shops.stream(began, "shifted")
        for day, count, took in shops.live(shifted, range(asked.live)):
            rows.append(row(shops, f"shifted, day {day + 1}", began + day * DAY, count, took))
        shops.features()
        before = shops.champions.of(NAME)
        columns = ("day", "events", "fraud", "average precision", "precision", "recall", "events/s")
        markdown("Live", columns, rows)
        markdown("The last day, shifted", ("model", "average precision"), anew(shops, before))
        markdown("An advance", ("events", "p50 s", "p95 s", "events/s"), waiting)


if __name__ == "__main__":
    main()
