"""Features of the tills: what an event is, what came just before, and what people did that day."""

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shops import Event
from tills import Tills

from aquifer.daily import Days
from aquifer.features.point_in_time import latest_known, point_in_time_join
from aquifer.lake import DELETED
from assets.features.cashier_behaviour import cashier_behaviour
from assets.features.member_behaviour import member_behaviour
from assets.features.till_event import till_event
from assets.models.transaction_risk import transaction_risk

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = 86_400


@pytest.fixture
def tills(tmp_path: Path) -> Iterable[Tills]:
    world = Tills(tmp_path)
    world.list_prices(("22423", 200), ("21212", 1000))
    with closing(world.log):
        yield world


def line(sku: str = "22423", quantity: int = 1, price: float = 2, discount: float = 0) -> Event:
    return {
        "sku": sku,
        "quantity": quantity,
        "unit_price": f"{price:.2f}",
        "discount": f"{discount:.2f}",
    }


def till(event_id: str, seconds: float, *lines: Event, **fields: Any) -> Event:
    at = (NOON + timedelta(seconds=seconds)).isoformat()
    event = {
        "event_id": event_id,
        "type": "sale",
        "event_time": at,
        "sent_at": at,
        "store_id": "S01",
        "register": 1,
        "cashier_id": "C1",
        "payment": "card",
        "lines": list(lines or [line()]),
    }
    return event | fields


def void(event_id: str, seconds: float, of: str, **fields: Any) -> Event:
    return till(event_id, seconds, type="void", voids=of, payment="cash", **fields) | {"lines": []}


def of_events(world: Tills, where: str = "true") -> dict[str, dict[str, Any]]:
    """The features of events, by event."""
    session, name = world.runtime.session, till_event.events.name
    rows = world.rows(name)
    asked = session.sql(f"select event_id, event_time from {world_table(world)} where {where}")
    instants = asked.toArrow()["event_time"].cast(pa.int64()).to_pylist()
    query = till_event.sql(
        f"select event_id from {world_table(world)} where {where}",
        till_event.spans(instants),
        lambda table: f"select * from delta.`{world.lake.uri(table)}` where not {DELETED}",
    )
    assert rows
    return {row["event_id"]: row for row in session.sql(query).toArrow().to_pylist()}


def world_table(world: Tills) -> str:
    return f"delta.`{world.lake.uri(till_event.events.name)}`"


def test_an_event_is_told_by_its_lines_and_the_list_prices(tills):
    tills.arrive(
        [
            till("full", 0, line(), line("21212", 2, 10)),
            till("discounted", 1, line(discount=0.5), line("21212", 1, 10, 2.5)),
            till("overridden", 2, line(price=1.2), line("21212", 1, 10)),
            till("unlisted", 3, line("90000", 3, 4)),
            till("returned", 4, line("21212", -2, 10), type="return", payment="cash"),
        ]
    )
    found = of_events(tills)
    full = found["full"]
    assert (full["line_count"], full["quantity"], full["gross"]) == (2, 3, 22.0)
    assert (full["greatest_price"], full["hour"]) == (10.0, 12)
    assert (full["discount_share"], full["price_ratio"], full["markdown"]) == (0.0, 1.0, 0.0)
    assert found["discounted"]["discount_share"] == found["discounted"]["markdown"] == 0.25
    assert found["overridden"]["price_ratio"] == 0.6
    assert found["overridden"]["markdown"] == pytest.approx(0.4)
    assert found["unlisted"]["price_ratio"] is None
    assert found["unlisted"]["markdown"] == 0
    assert (found["returned"]["gross"], found["returned"]["quantity"]) == (-20.0, -2)


def test_a_register_tells_of_the_150_seconds_before_an_event_and_of_no_later_ones(tills):
    at = [0, 1, 75, 150, 151]
    tills.arrive(
        [
            *(till(f"e{seconds}", seconds) for seconds in at),
            till("many", 149, line(quantity=2)),
            till("card", 148, member_id="12345"),
            till("same", 151),
            till("elsewhere", 149.5, register=2),
        ]
    )
    found = of_events(tills)
    runs = {event: (r["register_events"], r["register_singles"]) for event, r in found.items()}
    assert runs["e0"] == (0, 0)
    assert runs["e75"] == (2, 2)
    assert runs["e150"] == (5, 3)
    # The first is more than 150 s ago; what happens at the same instant is not known yet.
    assert runs["e151"] == runs["same"] == (5, 3)
    assert runs["elsewhere"] == (0, 0)


def test_a_void_tells_of_the_sale_that_it_takes_back_if_that_was_lately(tills):
    tills.arrive(
        [
            till("s", 0, line(quantity=4)),
            void("soon", 30, "s"),
            void("late", 901, "s"),
            void("before", -5, "s"),
            void("unknown", 40, "x"),
        ]
    )
    found = of_events(tills)
    said = {e: (row["voided_gross"], row["voided_after"]) for e, row in found.items()}
    assert said["soon"] == (8.0, 30.0)
    assert said["late"] == said["before"] == said["unknown"] == said["s"] == (None, None)


@settings(
    max_examples=3,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(dice=st.builds(Random, st.integers(0, 2**32)))
def test_features_of_an_event_are_the_same_whatever_comes_later(dice: Random, tmp_path):
    world = Tills(tmp_path / str(dice.random()))
    world.list_prices(("22423", 200))
    events = [
        till(
            f"e{n:03}",
            dice.choice([0, 1, 60, 150, 900, 7200]) * dice.random(),
            line(quantity=dice.choice([1, 1, 3]), price=dice.choice([2, 1])),
            register=dice.choice([1, 2]),
        )
        for n in range(60)
    ]
    events += [
        void(f"v{n:03}", dice.uniform(0, 2000), f"e{dice.randrange(60):03}") for n in range(10)
    ]
    events.sort(key=lambda event: (event["event_time"], event["event_id"]))
    middle = datetime.fromisoformat(events[40]["event_time"])
    world.arrive([event for event in events if event["event_time"] <= events[40]["event_time"]])
    before = of_events(world)
    later = [event for event in events if event["event_time"] > events[40]["event_time"]]
    world.arrive(later)
    asked = f"event_time <= timestamp'{middle.replace(tzinfo=None)}'"
    assert of_events(world, asked) == before
    assert before.items() <= of_events(world).items()


def test_behaviour_is_what_was_done_on_a_day_and_not_voided_on_it(tills):
    tills.arrive(
        [
            till("a", 0, line(quantity=2, discount=2), member_id="12345"),
            till("b", 60, line(), payment="voucher"),
            till("c", 120, line("21212", -1, 10), type="return"),
            till("d", 180, line("21212", 3, 10), member_id="12345"),
            void("e", 240, "d"),
            till("f", DAY, line()),
            void("g", DAY + 60, "a"),
            till("h", DAY, line(), cashier_id="C2"),
        ]
    )
    for view in (cashier_behaviour, member_behaviour):
        tills.compute(view)
    rows = {
        (row["cashier_id"], row["day"].day): row for row in tills.rows("features.cashier_behaviour")
    }
    first = rows["C1", 2]
    assert first["event_time"] == datetime(2026, 3, 3, tzinfo=UTC)
    assert first["cashier_events"] == 5
    assert (first["cashier_return_rate"], first["cashier_returned"]) == (0.2, 2.0)
    assert (first["cashier_void_rate"], first["cashier_voided"]) == (0.2, 6.0)
    assert (first["cashier_markdown"], first["cashier_single_rate"]) == (0.25, 0.5)
    assert first["cashier_voucher_pieces"] == 0.5
    # That sale is of the day before, of which it tells nothing.
    assert (rows["C1", 3]["cashier_void_rate"], rows["C1", 3]["cashier_voided"]) == (0.5, 0.0)
    assert rows["C2", 3]["cashier_events"] == 1
    (member,) = tills.rows("features.member_behaviour")
    assert (member["member_id"], member["member_events"]) == ("12345", 2)
    assert (member["member_markdown"], member["member_pieces"]) == (0.5, 2.0)


def test_a_list_price_that_changes_makes_no_day_out_of_date(tills):
    tills.arrive([till("a", 0), till("b", DAY)])
    assert tills.compute(cashier_behaviour) == Days(date(2026, 3, 2), date(2026, 3, 3))
    tills.list_prices(("99999", 100))
    assert tills.compute(cashier_behaviour) is None
    tills.arrive([till("late", 60)])
    assert tills.compute(cashier_behaviour) == Days(date(2026, 3, 2), date(2026, 3, 3))


def test_features_that_are_known_are_the_same_to_the_stream_as_to_training(tills):
    dice = Random(3)
    cashiers = ["C1", "C2", "C3"]
    tills.arrive(
        [
            till(f"e{n}", dice.uniform(0, 9 * DAY), cashier_id=dice.choice(cashiers))
            for n in range(14)
        ]
    )
    tills.compute(cashier_behaviour)
    instants = [NOON + timedelta(hours=12 * n) for n in range(24)]
    instants += [each - timedelta(microseconds=1) for each in instants]
    asked = pa.table(
        {
            "cashier_id": [*cashiers, None] * len(instants),
            "event_time": pa.array(
                [at for at in sorted(instants) for _ in range(4)], pa.timestamp("us", "UTC")
            ),
        }
    )
    names = transaction_risk.features[cashier_behaviour]
    found = latest_known(tills.lake, cashier_behaviour, names, asked, "event_time")
    session = tills.runtime.session
    held = session.table(cashier_behaviour.name).select("cashier_id", "event_time", *names)
    joined = point_in_time_join(
        session.createDataFrame(asked), held, entity=["cashier_id"], within=cashier_behaviour.within
    ).toArrow()
    columns = ["cashier_id", "event_time", *names]
    assert sorted(map(str, found.select(columns).to_pylist())) == sorted(
        map(str, joined.select(columns).to_pylist())
    )
    known = [row for row in found.to_pylist() if row["cashier_events"] is not None]
    assert 0 < len(known) < len(found)
