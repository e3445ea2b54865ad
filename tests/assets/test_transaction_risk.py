"""Transaction risk: events are scored as they come in, each once, as a batch would score them."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import onnx
import pytest
from conftest import PROJECT
from customers import constant, failed_checks, failure
from dagster import AssetKey
from tills import ALERTS, NAME, SCORES, START, VIEWS, Event, Tills, chunks, goods, simulated
from ups import until

from aquifer.models.asked import Ask, BadInput, Lookup, Row, matrix
from aquifer.models.events_asked import with_features
from aquifer.models.registry import CHAMPION
from aquifer.models.training_set import encoded
from assets.models.transaction_risk import transaction_risk

DAY = timedelta(days=1)
RATE = 0.12


class Shops(Tills):
    """A world whose model has learned from three days of the usual fraud, and scored a fourth."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sold = goods(folder / "sources")
        self.list_prices(*self.sold.products)
        events, verdicts = simulated(self.sold, START, 3, RATE, "usual")
        self.arrive(events, verdicts=verdicts)
        self.features()
        self.trained = self.train()
        assert self.trained.success, (failed_checks(self.trained), failure(self.trained))
        SCORES.advance(self.runtime)
        self.scored_of_learned = self.scores()
        self.fourth_day, verdicts = simulated(self.sold, START + 3 * DAY, 1, RATE, "usual")
        for chunk in chunks(self.fourth_day, 4):
            self.arrive(chunk)
            SCORES.advance(self.runtime)
        self.scored = self.scores()
        self.scored_with = self.lake.version(VIEWS[0].name)
        self.arrive([], verdicts=verdicts)

    def in_batch(self) -> dict[str, float]:
        """What the champion says of each event whose label is known, joined as it learns."""
        rows, champion = self.training_set().rows, self.champions.of(NAME)
        import numpy as np

        matrix = np.column_stack([encoded(rows[each.name], each) for each in champion.inputs])
        said = champion.predict(matrix)["probability"].astype(float).tolist()
        return dict(zip(rows["event_id"].to_pylist(), said, strict=True))

    @contextmanager
    def damaged(self, graph: bytes, *, told: bool) -> Iterator[None]:
        """Let the champion's graph be another; `told`: the manifest says so."""
        bundle = self.registry.bundle(NAME, self.registry.version(NAME, CHAMPION))
        whole = {name: (bundle / name).read_bytes() for name in ("model.onnx", "model.json")}
        (bundle / "model.onnx").write_bytes(graph)
        if told:
            manifest = json.loads(whole["model.json"])
            manifest["sha256"] = hashlib.sha256(graph).hexdigest()
            (bundle / "model.json").write_text(json.dumps(manifest))
        # Another process has it not loaded yet.
        before, self.champions._loaded = self.champions._loaded, {}
        yield
        for name, content in whole.items():
            (bundle / name).write_bytes(content)
        self.champions._loaded = before


@pytest.fixture(scope="module")
def shops(tmp_path_factory) -> Shops:
    return Shops(tmp_path_factory.mktemp("shops"))


def test_the_model_finds_more_fraud_than_the_alarms_that_people_set(shops):
    event = shops.instance.get_latest_materialization_event(AssetKey(["models", NAME]))
    figures = {name: entry.value for name, entry in event.asset_materialization.metadata.items()}
    low, high = figures["average_precision_low"], figures["average_precision_high"]
    assert low < figures["average_precision"] < high
    version = shops.registry.client.get_model_version(NAME, "1")
    run = shops.registry.client.get_run(version.run_id)
    assert run.data.metrics["baseline_average_precision"] < low
    threshold = shops.registry.scorer(NAME, "1").threshold
    assert 0 < threshold < 1
    assert float(run.data.params["threshold"]) == threshold
    assert f"acted upon from {threshold:.4f} on" in figures["model card"]


def test_what_a_champion_has_learned_from_is_not_scored_and_what_comes_after_is(shops):
    assert shops.scored_of_learned == {}
    assert shops.scored.keys() == {event["event_id"] for event in shops.fourth_day}
    threshold = shops.champions.of(NAME).threshold
    for row in shops.scored.values():
        assert row["is_suspicious"] == (row["probability"] >= threshold)
        assert row["model_version"] == "1"
        assert row["feature_version"] == shops.scored_with
    suspicious = sum(row["is_suspicious"] for row in shops.scored.values())
    assert 0 < suspicious < 0.03 * len(shops.scored)


def test_the_stream_says_of_an_event_what_a_batch_does_bit_for_bit(shops):
    """Also with the features of the day before, which are known by then, and no later ones."""
    scores, batch = shops.scored, shops.in_batch()
    compared = scores.keys() & batch.keys()
    assert len(compared) > 0.9 * len(scores)
    assert {event: scores[event]["probability"] for event in compared} == {
        event: batch[event] for event in compared
    }


def test_the_service_says_of_an_event_what_the_stream_does(shops):
    """Who asks tells what the event is; what people are like is looked up online."""
    shops.features()
    known = shops.rows(VIEWS[0].name)
    last = max(row["event_time"] for row in known)
    cashiers = sorted({row["cashier_id"] for row in known})[:40]
    shops.arrive(
        [
            till(shops, f"asked{n}", last + timedelta(hours=n / 10), cashier_id=cashier)
            for n, cashier in enumerate([*cashiers, "nobody"])
        ]
    )
    SCORES.advance(shops.runtime)
    scores, champion = shops.scores(), shops.champions.of(NAME)
    events = with_features(transaction_risk, shops.runtime, "event_id like 'asked%'", [])
    asks = [
        Ask(
            entity={
                column: event[column]
                for column in transaction_risk.looked_up_by
                if event[column] is not None
            },
            features={name: event[name] for name in transaction_risk.event.features},
        )
        for event in events.to_pylist()
    ]
    rows = asyncio.run(Lookup(shops.online).rows(transaction_risk, champion, asks))
    said = champion.predict(matrix(champion, rows, range(len(rows))))["probability"].tolist()
    assert said == [scores[event]["probability"] for event in events["event_id"].to_pylist()]
    assert len({*said}) > 5
    lacking = Row(None, {**rows[0].inputs, "register_events": None}, None)
    with pytest.raises(BadInput, match="register_events: it is null"):
        matrix(champion, [lacking], [0])


def test_an_advance_that_is_repeated_scores_nothing_twice(shops):
    before = shops.lake.version(SCORES.name)
    assert SCORES.advance(shops.runtime).rows_in == 0
    assert shops.catch_up().success
    assert shops.lake.version(SCORES.name) == before


def test_a_late_event_is_scored_when_it_comes_and_changes_no_score_that_was_given(shops):
    before = shops.scores()
    late = till(shops, "late", START + 3.5 * DAY)
    shops.arrive([late])
    SCORES.advance(shops.runtime)
    after = shops.scores()
    assert after.keys() - before.keys() == {"late"}
    assert {event: after[event] for event in before} == before


def test_an_event_that_is_voided_keeps_its_score_and_the_void_has_one(shops):
    sale = till(shops, "sold", START + 3.9 * DAY, payment="cash")
    void = till(shops, "void", START + 3.9 * DAY + timedelta(seconds=40), payment="cash")
    shops.arrive([sale])
    SCORES.advance(shops.runtime)
    before = shops.scores()["sold"]
    shops.arrive([{**void, "type": "void", "voids": "sold", "lines": []}])
    SCORES.advance(shops.runtime)
    assert shops.scores()["sold"] == before
    assert shops.scores()["void"]["probability"] > 10 * before["probability"]


def till(shops: Shops, event_id: str, at: datetime, **fields: object) -> Event:
    """A sale at list price."""
    sku, pence = shops.sold.products[0]
    line = {"sku": sku, "quantity": 1, "unit_price": f"{pence / 100:.2f}", "discount": "0"}
    return {
        "event_id": event_id,
        "type": "sale",
        "event_time": at.isoformat(),
        "sent_at": at.isoformat(),
        "store_id": "S01",
        "register": 1,
        "cashier_id": "S01001A",
        "payment": "card",
        "lines": [line],
        **fields,
    }


def test_an_event_whose_content_is_replaced_is_scored_again(shops):
    at = START + 3.95 * DAY
    one, other = (till(shops, "twice", at, register=register) for register in (1, 2))
    dear = [{**one["lines"][0], "quantity": 40}]
    contents = [one, {**other, "payment": "voucher", "lines": dear}]
    said = []
    for content in contents:
        shops.arrive([content])
        SCORES.advance(shops.runtime)
        said.append(shops.scores()["twice"]["probability"])
    (stands,) = (r for r in shops.rows("silver.pos_events") if r["event_id"] == "twice")
    if stands["payment"] == "card":
        assert said[0] == said[1]
    else:
        assert said[0] != said[1]


def test_a_promotion_is_followed_without_a_restart(shops):
    inputs = len(shops.champions.of(NAME).inputs)
    shops.registry.promote(NAME, register(shops, constant(inputs, 0.25)), "someone", "to see")
    shops.arrive([till(shops, "quarter", START + 3.96 * DAY)])
    SCORES.advance(shops.runtime)
    row = shops.scores()["quarter"]
    assert (row["probability"], row["model_version"]) == (0.25, "2")
    shops.registry.rollback(NAME, "someone", "it has been seen")
    shops.arrive([till(shops, "whole", START + 3.96 * DAY)])
    SCORES.advance(shops.runtime)
    assert shops.scores()["whole"]["model_version"] == "1"


def register(shops: Shops, graph: onnx.ModelProto) -> str:
    """Register a graph as a version of the model, as the first one is but for what it says."""
    import mlflow

    manifest = dict(shops.registry.scorer(NAME, "1").manifest)
    manifest["sha256"] = hashlib.sha256(graph.SerializeToString()).hexdigest()
    mlflow.set_tracking_uri(shops.registry.uri)
    with mlflow.start_run(experiment_id=shops.registry.experiment(NAME)) as run:
        info = mlflow.onnx.log_model(
            graph,
            name=NAME,
            pip_requirements=[],
            save_as_external_data=False,
            metadata={"manifest": manifest},
        )
    return shops.registry.register(NAME, info.model_id, run.info.run_id, "made by hand")


@pytest.mark.parametrize(
    ("damage", "said"),
    [("checksum", "it is damaged"), ("nan", "predicts a probability that is no number")],
)
def test_a_champion_that_cannot_score_stops_no_other_table_and_says_why(shops, damage, said):
    inputs = len(shops.champions.of(NAME).inputs)
    graph = constant(inputs, float("nan")).SerializeToString()
    shops.arrive([till(shops, damage, START + 3.97 * DAY)])
    before = shops.scores()
    with shops.damaged(graph, told=damage == "nan"):
        flow = shops.downstream()
        assert said in flow.tally.stalled[SCORES.name]
        seen = shops.lake.progress(ALERTS.name, "silver.pos_events")
        assert seen == shops.lake.seq("silver.pos_events")
        result = shops.catch_up()
        assert said in failure(result)
        assert "\n" not in failure(result)
    assert shops.scores() == before
    assert SCORES.name not in shops.downstream().tally.stalled
    assert shops.scores().keys() - before.keys() == {damage}


def test_without_the_packages_of_models_all_else_goes_on(shops, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    # Another process has no registry open yet.
    monkeypatch.setattr(shops.champions, "_opened", None)
    shops.arrive([till(shops, "waits", START + 3.98 * DAY)])
    flow = shops.downstream()
    assert flow.tally.stalled == {}
    assert "waits" not in shops.scores()
    seen = shops.lake.progress(ALERTS.name, "silver.pos_events")
    assert seen == shops.lake.seq("silver.pos_events")
    monkeypatch.undo()
    shops.downstream()
    assert "waits" in shops.scores()


SCORE_IN_STEPS = """
import sys
from pathlib import Path
import aquifer.models.stream_scores as steps
steps.EVENTS_PER_STEP = 300
from tills import SCORES, Tills
SCORES.catch_up(Tills(Path(sys.argv[1])).runtime)
"""


def test_a_kill_between_steps_leaves_each_event_scored_once(shops, fault):
    events, _ = simulated(shops.sold, START + 4 * DAY, 1, RATE / 3, "usual")
    for chunk in chunks(events, 12):
        shops.arrive(chunk)
    log = Path(shops.lake.uri(SCORES.name), "_delta_log")
    before, commits = shops.scores(), shops.lake.version(SCORES.name)
    child = subprocess.Popen(
        [sys.executable, "-c", SCORE_IN_STEPS, str(shops.folder)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    until(lambda: (log / f"{commits + 2:020}.json").exists() or child.poll() is not None)
    with fault("kill -9 while events are scored, until each has its score"):
        child.kill()
        assert child.wait() == -9
        between = shops.scores()
        assert len(before) < len(between) < len(before) + len(events)
        SCORES.catch_up(shops.runtime)
    after = shops.scores()
    assert after.keys() - before.keys() == {event["event_id"] for event in events}
    assert {event: after[event] for event in between} == between


@pytest.fixture
def untrained(tmp_path) -> Tills:
    world = Tills(tmp_path)
    world.sold = goods(tmp_path / "sources")
    world.list_prices(*world.sold.products)
    return world


def test_without_a_champion_events_wait_and_all_else_goes_on(untrained):
    events, _ = simulated(untrained.sold, START, 1, 0.01, "usual")
    untrained.arrive(events)
    flow = untrained.downstream()
    assert flow.tally.stalled == {}
    assert not untrained.lake.exists(SCORES.name)
    assert untrained.lake.progress(ALERTS.name, "silver.pos_events") > 0
    assert untrained.catch_up().success
    assert untrained.scores() == {}
    assert not (untrained.folder / "mlflow" / "mlflow.db").exists()


def test_without_verdicts_there_is_nothing_to_learn_from(untrained):
    events, _ = simulated(untrained.sold, START, 2, 0.01, "usual")
    untrained.arrive(events)
    untrained.features()
    said = failure(untrained.train())
    assert "transaction_risk has no example at all" in said
    assert "silver.pos_verdicts" in said
    assert "\n" not in said


def test_too_few_days_are_refused_in_one_line(untrained):
    events, verdicts = simulated(untrained.sold, START, 1, 0.05, "usual")
    untrained.arrive(events, verdicts=verdicts)
    untrained.features()
    said = failure(untrained.train())
    assert "examples for training, and needs 1,000" in said
    assert "\n" not in said
