"""Patterns find what a plain look at all events finds, whatever the batches, order and lateness."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shops import NOON, Event, Shops, arrivals, at, few_of_many_events, till
from worlds import STREAM

ALERTS = STREAM["stream.alerts"]
DAY = 86_400


def reading(event_id: str, seconds: float, type_: str, value: float, device: str = "F1") -> Event:
    return {
        "event_id": event_id,
        "type": type_,
        "event_time": at(seconds),
        "sent_at": at(seconds),
        "store_id": "S01",
        "device_id": device,
        "value": value,
    }


def found(world: Shops, *rules: str) -> set[tuple]:
    """The alerts that stand: rule, key and the events that matched."""
    return {
        (row["rule"], row["key"], *row["event_ids"])
        for row in world.live(ALERTS)
        if row["retracted_at"] is None and row["rule"] in rules
    }


def till_events(dice: Random) -> list[Event]:
    events = []
    for n in range(90):
        sku = dice.choice(["22423", "85123A", "21212"])
        line = {"sku": sku, "quantity": 1, "unit_price": "1", "discount": "0"}
        day = dice.choice([0, 0, 10, 29, 31]) * DAY
        events.append(till(f"s{n:03}", day + dice.uniform(0, DAY), lines=[line]))
    for n in range(40):
        sku = dice.choice(["22423", "85123A", "21212", "47566"])
        line = {"sku": sku, "quantity": -1, "unit_price": "1", "discount": "0"}
        day = dice.choice([0, 30, 31, 40, 60]) * DAY
        events.append(till(f"r{n:03}", day + dice.uniform(0, DAY), "return", lines=[line]))
    for n in range(60):
        cashier, voided = f"C{dice.randrange(3)}", f"{dice.choice('sr')}{dice.randrange(60):03}"
        seconds = dice.uniform(0, 7200)
        events.append(till(f"v{n:03}", seconds, "void", cashier_id=cashier, voids=voided))
    return events


def readings(dice: Random) -> list[Event]:
    events = []
    for device in ("F1", "F2"):
        warm = False
        for n in range(90):
            warm ^= dice.random() < 0.08
            seconds = n * 60 + dice.uniform(0, 50)
            value = -12.5 if warm else -20.25
            events.append(reading(f"{device}t{n:03}", seconds, "temperature", value, device))
            if dice.random() < 0.12:
                door, seconds = dice.choice([0, 1]), seconds + dice.uniform(-30, 30)
                events.append(reading(f"{device}d{n:03}", seconds, "door", door, device))
    return events


@few_of_many_events
@given(st.builds(Random, st.integers(0, 2**32)))
def test_alerts_equal_a_batch_computation(dice: Random) -> None:
    with TemporaryDirectory() as folder:
        world = Shops(Path(folder))
        tills, sensors = arrivals(dice, till_events(dice), 3), arrivals(dice, readings(dice), 3)
        for of_tills, of_sensors in zip(tills, sensors, strict=True):
            world.arrive("pos.events", of_tills)
            world.arrive("iot.readings", of_sensors, ALERTS)
        sold, read = world.rows("silver.pos_events"), world.rows("silver.iot_readings")
        assert found(world, "repeated_voids") == {*repeated_voids(sold)}
        assert found(world, "return_without_sale") == {*returns_without_sale(sold)}
        assert found(world, "warm_freezer") == {*warm_freezers(read)}


def repeated_voids(events: Iterable[Event]) -> Iterable[tuple]:
    voids = defaultdict(list)
    for event in sorted(events, key=lambda event: (event["event_time"], event["event_id"])):
        if event["type"] == "void":
            voids[event["cashier_id"]].append(event)
    for cashier, done in voids.items():
        completes = [
            n >= 2 and done[n]["event_time"] - done[n - 2]["event_time"] <= timedelta(minutes=10)
            for n in range(len(done))
        ]
        for n, complete in enumerate(completes):
            if complete and not completes[n - 1]:
                yield "repeated_voids", cashier, *(done[m]["event_id"] for m in (n - 2, n - 1, n))


def returns_without_sale(events: Iterable[Event]) -> Iterable[tuple]:
    events = list(events)
    voided = {event["voids"] for event in events if event["type"] == "void"}
    standing = [event for event in events if event["event_id"] not in voided and event["lines"]]
    sold = defaultdict(list)
    for event in standing:
        for line in event["lines"]:
            if event["type"] == "sale":
                sold[event["store_id"], line["sku"]].append(event["event_time"])
    for event in standing:
        for line in event["lines"] if event["type"] == "return" else []:
            key = event["store_id"], line["sku"]
            ago = [event["event_time"] - time for time in sold[key]]
            if not any(timedelta(0) <= since <= timedelta(days=30) for since in ago):
                yield "return_without_sale", "|".join(key), event["event_id"]


def warm_freezers(events: Iterable[Event]) -> Iterable[tuple]:
    devices = defaultdict(list)
    for event in sorted(events, key=lambda event: (event["event_time"], event["event_id"])):
        devices[event["device_id"]].append(event)
    for device, history in devices.items():
        first, settled, closed = None, False, []
        for event in history:
            if event["type"] == "door":
                closed += [event["event_time"]] if event["value"] == 0 else []
            elif event["value"] <= -15:
                first, settled = None, False
            elif first is None:
                first = event
            elif event["event_time"] - first["event_time"] >= timedelta(minutes=5) and not settled:
                settled = True
                if not any(first["event_time"] <= t <= event["event_time"] for t in closed):
                    yield "warm_freezer", device, first["event_id"], event["event_id"]


@pytest.fixture
def shops(tmp_path: Path) -> Iterable[Shops]:
    world = Shops(tmp_path)
    with closing(world.log):
        yield world


def test_late_events_raise_and_retract_an_alert_that_stays_one(shops: Shops) -> None:
    def alerts() -> list[tuple]:
        rows = sorted(shops.live(ALERTS), key=lambda row: row["last_at"])
        return [(tuple(row["event_ids"]), row["retracted_at"] is None) for row in rows]

    def void(name: str, seconds: float) -> Event:
        return till(name, seconds, "void", voids=f"of {name}")

    shops.arrive("pos.events", [void("b", 60), void("c", 120)], ALERTS)
    assert alerts() == []
    shops.arrive("pos.events", [void("d", 659), void("e", 900)], ALERTS)
    assert alerts() == [(("b", "c", "d"), True)]
    (raised,) = shops.live(ALERTS)
    assert (raised["first_at"], raised["store_id"]) == (NOON + timedelta(minutes=1), "S01")
    # Hours late, one that came before them makes three earlier: one alert goes, another comes.
    shops.arrive("pos.events", [till("z", 20_000), void("a", 0)], ALERTS)
    assert alerts() == [(("a", "b", "c"), True), (("b", "c", "d"), False)]
    again = ALERTS.advance(shops.runtime)
    assert (again.rows_in, again.written) == (0, 0)


def test_a_sale_that_comes_late_retracts_and_its_void_raises_again(shops: Shops) -> None:
    def stand() -> list[bool]:
        return [row["retracted_at"] is None for row in shops.live(ALERTS)]

    shops.arrive("pos.events", [till("r", 40 * DAY, "return")], ALERTS)
    assert stand() == [True]
    shops.arrive("pos.events", [till("old", 9 * DAY), till("after", 41 * DAY)], ALERTS)
    assert stand() == [True]
    shops.arrive("pos.events", [till("s", 10 * DAY)], ALERTS)
    assert stand() == [False]
    shops.arrive("pos.events", [till("v", 42 * DAY, "void", voids="s")], ALERTS)
    assert stand() == [True]
