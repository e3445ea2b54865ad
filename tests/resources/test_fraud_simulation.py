"""Fraud at the simulated tills: a share of what happens, hidden in it, and found out later."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest

from aquifer.landing import LandingFolder
from resources.simulation.streams.catalogue import Catalogue, catalogue
from resources.simulation.streams.openloop import SHARES
from resources.simulation.streams.stream import Batch, EventStream

START = datetime(2026, 3, 1, 8, 26, tzinfo=UTC)
RATE = 40
SLOTS = RATE * 3600
VERDICTS = "pos.verdicts"

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Hour:
    """What was sent in an hour, and the verdicts of that hour."""

    tills: Sequence[Event]
    verdicts: Sequence[Event]


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    nothing = tmp_path_factory.mktemp("nothing")
    return catalogue(nothing / "orders.db", nothing / "rewards.db", LandingFolder(nothing), 17)


@pytest.fixture(scope="module")
def usual(goods: Catalogue) -> Hour:
    return hour(goods, "usual")


@pytest.fixture(scope="module")
def shifted(goods: Catalogue) -> Hour:
    return hour(goods, "shifted")


def hour(goods: Catalogue, fraud: str) -> Hour:
    stream = EventStream(17, START, RATE, goods, clean=True, fraud=fraud)
    batch = stream.batch(0, SLOTS)
    return Hour(read(batch, "pos.events"), read(batch, VERDICTS))


def read(batch: Batch, topic: str) -> list[Event]:
    return [json.loads(value) for value in batch.events[topic]["value"].to_pylist()]


def rows(batches: Iterable[Batch]) -> dict[str, list[tuple]]:
    """Key, value and timestamp of every event, by topic."""
    found = defaultdict(list)
    for batch in batches:
        for topic, table in batch.events.items():
            columns = (column.to_pylist() for column in table.columns)
            found[topic] += zip(*columns, strict=True)
    return dict(found)


def at(event: Event, name: str) -> datetime:
    return datetime.fromisoformat(event[name])


def let_off(event: Event) -> float:
    """The largest part of a line's price that a discount takes."""
    parts = (
        float(line["discount"]) / (line["quantity"] * float(line["unit_price"]))
        for line in event["lines"]
    )
    return max(parts, default=0.0)


def pieces(event: Event) -> int:
    return max((line["quantity"] for line in event["lines"]), default=0)


@pytest.mark.parametrize("fraud", ["usual", "shifted"])
def test_every_way_of_slicing_a_stream_with_fraud_gives_the_same_bytes(goods, fraud):
    slots = 20_000

    def stream() -> EventStream:
        return EventStream(17, START, RATE, goods, fraud=fraud)

    whole = rows([stream().batch(0, slots)])
    assert len(whole[VERDICTS]) > 50
    assert rows(stream().batches(timedelta(seconds=0.7), slots)) == whole
    # One that begins in the middle, and asks for the end before the beginning.
    cuts, other = [0, 1, 7, 12_345, slots], stream()
    parts = [other.batch(first, last) for first, last in reversed(list(pairwise(cuts)))]
    assert rows(parts[::-1]) == whole


def test_fraud_leaves_the_events_of_everybody_else_as_they_are_without_it(goods):
    honest = rows([EventStream(17, START, RATE, goods).batch(0, 20_000)])
    assert honest.keys() == SHARES.keys()
    usual = rows([EventStream(17, START, RATE, goods, fraud="usual").batch(0, 20_000)])
    assert usual.keys() == {*SHARES, VERDICTS}
    tills, of_tills = usual.pop("pos.events"), honest.pop("pos.events")
    assert len(tills) == len(of_tills)
    assert 0.93 < mean(a == b for a, b in zip(tills, of_tills, strict=True)) < 0.97
    assert {topic: usual[topic] for topic in honest} == honest


@pytest.mark.parametrize("fraud", ["usual", "shifted"])
def test_a_hundredth_of_the_events_is_fraud_of_every_pattern(fraud, request):
    sent = request.getfixturevalue(fraud)
    # Those of the last minutes are not found out yet.
    old = [event for event in sent.tills if at(event, "sent_at") < START + timedelta(minutes=40)]
    ids = {event["event_id"] for event in old}
    found = Counter(v["pattern"] for v in sent.verdicts if v["event_id"] in ids)
    genuine = found.pop(None)
    assert 0.007 < found.total() / len(old) < 0.013
    assert found.keys() == {
        *("refund", "sweethearting", "card_testing", "voucher_cash_out", "void_after_sale")
    }
    assert min(found.values()) > 0.03 * found.total()
    assert 0.045 < genuine / len(old) < 0.055


@pytest.mark.parametrize("fraud", ["usual", "shifted"])
def test_a_verdict_comes_minutes_after_an_event_that_was_sent_as_it_is(goods, fraud):
    stream = EventStream(17, START, RATE, goods, fraud=fraud)
    batch = stream.batch(0, 100_000)
    sent = {value[13:49]: value for value in batch.events["pos.events"]["value"].to_pylist()}
    verdicts = read(batch, VERDICTS)
    assert len({verdict["verdict_id"] for verdict in verdicts}) == len(verdicts)
    assert len({verdict["event_id"] for verdict in verdicts}) == len(verdicts) > 1_000
    due = batch.events[VERDICTS]["timestamp"].to_pylist()
    assert due == sorted(due) == [at(verdict, "sent_at") for verdict in verdicts]
    for verdict in verdicts:
        event = json.loads(sent[verdict["event_id"].encode()])
        waited = at(verdict, "sent_at") - at(event, "sent_at")
        assert timedelta(minutes=2) <= waited <= timedelta(minutes=20, seconds=1)
        assert at(event, "sent_at") < at(verdict, "decided_at") < at(verdict, "sent_at")
        assert verdict["is_fraud"] == (verdict["pattern"] is not None)
        if event["type"] == "void":
            voided = json.loads(sent[event["voids"].encode()])
            assert voided["cashier_id"] == event["cashier_id"]


def test_most_fraud_looks_like_its_pattern_and_so_does_much_that_is_genuine(usual):
    looks = {
        "refund": lambda e: (e["type"], e["payment"]) == ("return", "cash"),
        "sweethearting": lambda e: let_off(e) >= 0.2,
        "card_testing": lambda e: (e["payment"], e["member_id"], pieces(e)) == ("card", None, 1),
        "voucher_cash_out": lambda e: e["payment"] == "voucher" and pieces(e) >= 4,
        "void_after_sale": lambda e: (e["type"], e["payment"]) == ("void", "cash"),
    }
    labels = {verdict["event_id"]: verdict["pattern"] for verdict in usual.verdicts}
    audited = [event for event in usual.tills if event["event_id"] in labels]
    for pattern, alike in looks.items():
        frauds = [event for event in audited if labels[event["event_id"]] == pattern]
        genuine = [event for event in audited if labels[event["event_id"]] is None]
        assert sum(map(alike, frauds)) > 0.5 * len(frauds)
        # One genuine event in twenty is looked at.
        assert 20 * sum(map(alike, genuine)) > 0.3 * len(frauds)


def test_few_cashiers_commit_most_fraud_and_others_do_months_later(goods):
    stream = EventStream(17, START, 1, goods, ["pos.events"], clean=True, fraud="usual")
    busy = []
    for begin in (timedelta(0), timedelta(weeks=10)):
        first = stream.slots(begin) if begin else 0
        batch = stream.batch(first, first + 86_400)
        cashiers = {event["event_id"]: event["cashier_id"] for event in read(batch, "pos.events")}
        frauds = Counter(
            cashiers[verdict["event_id"]]
            for verdict in read(batch, VERDICTS)
            if verdict["is_fraud"] and verdict["event_id"] in cashiers
        )
        most = frauds.most_common(len(set(cashiers.values())) // 10)
        assert sum(count for _, count in most) > 0.6 * frauds.total()
        busy.append({cashier for cashier, _ in most})
    assert len(busy[0] & busy[1]) < 0.5 * len(busy[0])


def test_what_has_shifted_is_fraud_and_how_honest_people_buy(usual, shifted):
    def changed(what: Callable[[Hour], float]) -> float:
        return what(shifted) / what(usual)

    def fraud(pattern: str) -> Callable[[Hour], float]:
        return lambda sent: mean(verdict["pattern"] == pattern for verdict in sent.verdicts)

    def paid_by(payment: str) -> Callable[[Hour], float]:
        return lambda sent: mean(event["payment"] == payment for event in sent.tills)

    def price(sent: Hour) -> float:
        return mean(float(line["unit_price"]) for event in sent.tills for line in event["lines"])

    assert changed(fraud("voucher_cash_out")) > 3
    assert changed(fraud("refund")) < 0.7
    assert changed(paid_by("voucher")) > 2
    assert changed(paid_by("mobile")) > 1.4
    assert changed(paid_by("card")) < 0.8
    assert 1.2 < changed(price) < 1.35
