"""Customer segments: named after what they are, stable, and the same again."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest
from customers import FIRST, Customers, failed_checks, failure, purchase

from aquifer.models.registry import CHAMPION, PREVIOUS
from aquifer.models.training_set import Pinned
from assets.models.customer_segments import customer_segments

NAME = customer_segments.name
TABLE = f"predictions.{NAME}"
LAST = datetime(2011, 6, 30, 12, tzinfo=FIRST.tzinfo)
DAYS = (LAST - FIRST).days


def purchases() -> list[dict[str, Any]]:
    """Of customers who buy much each week, some every other month, or little and once."""
    dice = Random(2)
    rows: list[dict[str, Any]] = []

    def buy(customer: int, days: list[float], quantity: int) -> None:
        for day in days:
            at = FIRST + timedelta(days=round(day))
            if at <= LAST:
                rows.append(purchase(len(rows), str(customer), at, quantity))

    for n in range(80):
        start = dice.uniform(0, 7)
        buy(10_000 + n, [start + 7 * k for k in range(30)], dice.randint(40, 80))
        # In step with the ends of months, so that they were always here weeks ago.
        day = dice.uniform(0, 12)
        buy(20_000 + n, [day + 30.4 * k for k in range(6)], dice.randint(15, 30))
        buy(30_000 + n, [dice.uniform(0, 60)], dice.randint(1, 3))
    for n in range(240):
        buy(40_000 + n, [dice.uniform(60, DAYS)], dice.randint(1, 3))
    return [*rows, purchase(len(rows), "10000", LAST, 40)]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Customers:
    """A world whose model was trained once, and promoted."""
    world = Customers(tmp_path_factory.mktemp("segments"))
    world.buy(*purchases())
    result = world.run(model=customer_segments)
    assert result.success, (failed_checks(result), failure(result))
    return world


def test_segments_are_named_after_what_customers_are(world):
    segments = {row["customer_id"]: row["segment"] for row in world.rows(TABLE)}
    kinds = {kind: Counter() for kind in "1234"}
    for customer, segment in segments.items():
        kinds[customer[0]][segment] += 1
    assert kinds["1"]["champions"] > 0.95 * kinds["1"].total()
    assert kinds["2"]["regular"] > 0.95 * kinds["2"].total()
    assert kinds["3"]["lost"] > 0.95 * kinds["3"].total()
    lines = world.rows("silver.invoice_lines")
    newest = {
        row["customer_id"]
        for row in lines
        if row["customer_id"][0] == "4" and LAST - row["invoiced_at"] < timedelta(days=10)
    }
    assert {segments[customer] for customer in newest} == {"recent"}


def test_every_gate_is_told_and_the_baseline_is_beaten(world):
    tags = world.registry.tags(NAME, "1")
    gates = {k.removeprefix("gate."): v for k, v in tags.items() if k.startswith("gate.")}
    assert gates.keys() == {*customer_segments.gates}
    assert {verdict[:6] for verdict in gates.values()} == {"passed"}


def test_the_graph_says_what_was_found_and_training_again_is_the_same(world):
    learner = customer_segments.learner()
    pinned = Pinned.now(world.lake, customer_segments.upstreams)
    data = learner.training_set(world.runtime, pinned)
    choice = learner.tune(data, None)
    one, other = (learner.fit(data, choice) for _ in range(2))
    assert one.graph.SerializeToString() == other.graph.SerializeToString()
    found = world.registry.champion(NAME).predict(data.holdout.matrix)
    assert (found["segment"] == one.estimator.nearest(data.holdout.matrix)).all()
    places = one.estimator.space.places(data.holdout.matrix)
    distances = np.linalg.norm(places - one.estimator.centres[found["segment"]], axis=1)
    assert np.abs(distances - found["distance"]).max() < 1e-5
    assert {each.day for each in data.holdout.rows["event_time"].to_pylist()} == {1}


def test_what_divides_as_the_champion_does_is_promoted(world):
    assert world.run(model=customer_segments).success
    assert world.registry.version(NAME, CHAMPION) == "2"
    told = world.registry.tags(NAME, "2")["gate.stable"]
    assert "version 1, the champion, by 1.000, with the same name for 100.0%" in told


def test_a_champion_is_measured_beside_the_one_before_on_the_same_scale(world):
    before = world.registry.version(NAME, PREVIOUS)
    measured = max(world.rows(f"monitoring.{NAME}"), key=lambda row: row["measured_at"])
    assert (measured["model_version"], before) == ("2", "1")
    assert (measured["action"], measured["drifted"]) == ("nothing", [])
    assert measured["gain"] > 0
    learner = customer_segments.learner()
    data = learner.training_set(world.runtime, Pinned.now(world.lake, customer_segments.upstreams))
    champion = world.registry.champion(NAME)
    told = champion.predict(data.holdout.matrix)
    held = learner.held(champion, data)
    assert (told["segment"] == held["segment"]).all()
    # k-means has come to the means of its segments, but for its tolerance.
    assert np.abs(told["distance"] - held["distance"]).max() < 0.02


def test_what_divides_otherwise_than_the_champion_stays_challenger(world):
    before = world.registry.version(NAME, CHAMPION)
    # As if none but those who buy each week were left, who are one segment to the champion.
    weekly = customer_segments.examples.replace("where ", "where customer_id like '1%' and ")
    other = replace(customer_segments, examples=weekly, least_examples=50)
    result = world.run("models", model=other)
    assert "is asked for" in failed_checks(result)["stable"]
    assert not world.run("champions", model=other).success
    assert world.registry.version(NAME, CHAMPION) == before


def test_customers_who_are_all_alike_are_no_segments(tmp_path):
    world = Customers(tmp_path)
    every_day = [FIRST + timedelta(days=day) for day in range(DAYS + 1)]
    world.buy(
        *(
            purchase(1_000 * c + n, str(10_000 + c), at)
            for c in range(3)
            for n, at in enumerate(every_day)
        )
    )
    result = world.run("models", model=replace(customer_segments, least_examples=1))
    assert "would find 4 segments among examples of" in failure(result)
