"""Features: what holds at the end of a day, and nothing of what comes later."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from worlds import HEADER, Invoices, World

from aquifer.daily import Days
from aquifer.errors import PassingError
from aquifer.features.online import entity_key, online_features
from aquifer.features.point_in_time import point_in_time_join
from assets import tables
from assets.features.customer_behaviour import customer_behaviour
from resources.online_store import OnlineStoreResource

VIEW = customer_behaviour.name


def line(
    invoice: int, at: str, customer: str = "10001", quantity: int = 1, price: str = "2.50"
) -> str:
    number = f"C{invoice}" if quantity < 0 else str(invoice)
    return f"{number},22423,CAKE STAND,{quantity},{at}:00,{price},{customer},United Kingdom"


class Customers(Invoices):
    """A world of made-up invoices, whose features are kept up."""

    def take(self, day: str, *lines: str) -> Days | None:
        """Land the lines of a day, and compute what is out of date; which days those were."""
        self.land(f"{day}.csv", HEADER, *lines)
        assert self.take_in().accounted
        return self.compute(customer_behaviour)

    def of(self, day: str, customer: str = "10001") -> dict | None:
        found = [
            row
            for row in self.rows(VIEW)
            if (str(row["day"]), row["customer_id"]) == (day, customer)
        ]
        return found[0] if found else None


@pytest.fixture
def customers(tmp_path) -> Customers:
    return Customers(tmp_path)


def test_features_say_how_recently_how_often_and_for_how_much_a_customer_has_bought(customers):
    customers.take(
        "2011-03-01",
        line(500001, "2011-03-01 10:00", quantity=4),
        line(500001, "2011-03-01 10:00", quantity=2, price="5.00"),
    )
    customers.take("2011-03-11", line(500002, "2011-03-11 10:00", quantity=8))
    customers.take("2011-03-12", line(500003, "2011-03-12 10:00", quantity=-2))
    customers.take("2011-04-20", line(500004, "2011-04-20 10:00", "10002"))
    found = customers.of("2011-04-20")
    assert found["event_time"] == datetime(2011, 4, 21, tzinfo=UTC)
    assert (found["recency_days"], found["tenure_days"]) == (40, 50)
    assert (found["invoices_30d"], found["invoices_90d"], found["invoices_365d"]) == (0, 2, 2)
    assert (found["net_30d"], found["net_90d"]) == (0.0, 35.0)
    assert found["mean_basket"] == 20.0
    assert found["mean_lines"] == 1.5
    assert found["return_rate"] == 5.0 / 40.0
    assert (found["mean_gap_days"], found["overdue"]) == (10.0, 4.0)
    assert customers.of("2011-03-05")["mean_gap_days"] is None
    assert customers.of("2011-02-28") is None


def test_what_comes_later_changes_no_feature_of_a_day_before(customers):
    customers.take("2011-03-01", line(500001, "2011-03-01 10:00"))
    customers.take("2011-03-02", line(500002, "2011-03-02 23:59"))
    before = [row for row in customers.content(VIEW)[VIEW]]
    later = customers.take("2011-03-03", line(500003, "2011-03-03 00:00", quantity=50))
    assert later == Days(date(2011, 3, 3), date(2011, 3, 3))
    customers.lake.forget(VIEW, [upstream.name for upstream in customer_behaviour.reads])
    assert customers.compute(customer_behaviour) == Days(date(2011, 3, 1), date(2011, 3, 3))
    after = customers.content(VIEW)[VIEW]
    assert [row for row in after if row[0] < date(2011, 3, 3)] == before


def test_a_late_line_makes_the_days_from_its_own_on_out_of_date(customers):
    customers.take("2011-03-05", line(500001, "2011-03-05 10:00"))
    assert customers.of("2011-03-05")["tenure_days"] == 0
    late = customers.take("2011-03-02", line(500002, "2011-03-02 10:00"))
    assert late == Days(date(2011, 3, 2), date(2011, 3, 5))
    assert customers.of("2011-03-05")["tenure_days"] == 3
    assert customers.compute(customer_behaviour) is None


def test_a_line_that_its_file_no_longer_holds_is_in_no_feature(customers):
    customers.take("2011-03-01", line(500001, "2011-03-01 10:00"), line(500002, "2011-03-01 11:00"))
    assert customers.of("2011-03-01")["invoices_30d"] == 2
    customers.take("2011-03-01", line(500001, "2011-03-01 10:00"))
    assert customers.of("2011-03-01")["invoices_30d"] == 1


@pytest.mark.parametrize("seed", range(2))
def test_day_by_day_and_shuffled_comes_to_the_same_features_as_all_at_once(seed, tmp_path):
    dice = Random(seed)
    days = [f"2011-03-{day:02d}" for day in range(1, 9)]
    files = {
        day: [
            line(
                500_000 + 10 * n + k,
                f"{day} {dice.randrange(8, 20):02d}:30",
                str(10_000 + dice.randrange(4)),
                dice.choice([1, 2, 5, -1]),
            )
            for k in range(4)
        ]
        for n, day in enumerate(days)
    }
    apart, together = Customers(tmp_path / "apart"), Customers(tmp_path / "together")
    for day in dice.sample(days, len(days)):
        apart.take(day, *files[day])
    expected_content = apart.content(VIEW)
    together._forget()
    for day in days:
        together.land(f"{day}.csv", HEADER, *files[day])
    assert together.take_in().accounted
    together.compute(customer_behaviour)
    assert together.content(VIEW) == expected_content


def test_a_run_that_ends_before_the_online_store_has_the_features_is_repeated(customers):
    customers.land("2011-03-01.csv", HEADER, line(500001, "2011-03-01 10:00"))
    customers.take_in()
    away = OnlineStoreResource(url="redis://127.0.0.1:1").store
    days = customer_behaviour.touched(customers.lake, date(2010, 12, 1))
    with pytest.raises(PassingError, match="the online store does not answer"):
        customer_behaviour.advance(customers.runtime, away, days, date(2010, 12, 1))
    assert customer_behaviour.touched(customers.lake, date(2010, 12, 1)) == days
    assert customers.compute(customer_behaviour) == days
    assert customers.compute(customer_behaviour) is None
    assert len(customers.rows(VIEW)) == 1


def test_a_feature_is_the_same_online_and_offline(customers):
    customers.take(
        "2011-03-01", line(500001, "2011-03-01 10:00"), line(500002, "2011-03-01 10:00", "10002")
    )
    customers.take("2011-03-09", line(500003, "2011-03-09 10:00", quantity=3, price="1.10"))
    asked = [["10001"], ["10002"], ["99999"]]
    online = online_features(customers.online, VIEW, asked)
    session = customers.runtime.session
    at = datetime(2011, 3, 10, 12, tzinfo=UTC)
    entities = session.createDataFrame(
        pa.table({"customer_id": [key for (key,) in asked], "event_time": [at] * len(asked)})
    )
    held = session.table(VIEW).select("customer_id", "event_time", *customer_behaviour.features)
    joined = point_in_time_join(
        entities, held, entity=["customer_id"], within=timedelta(days=1)
    ).toArrow()
    offline = {row["customer_id"]: row for row in joined.to_pylist()}
    for (customer,), features in zip(asked, online, strict=True):
        for name in customer_behaviour.features:
            assert offline[customer][name] == (features[name] if features else None)
    assert online[0]["invoices_30d"] == 2
    assert online[2] is None
    assert customers.online.get(VIEW, [entity_key(["10001"])])[0]


def test_an_entity_without_features_any_more_is_not_found_online(customers):
    customers.take("2011-03-01", line(500001, "2011-03-01 10:00"))
    customers.take("2012-03-02", line(500002, "2012-03-02 10:00", "10002"))
    assert online_features(customers.online, VIEW, [["10001"]]) == [None]


def test_days_without_a_sale_have_features_too(customers):
    customers.take("2011-03-01", line(500001, "2011-03-01 10:00"))
    customers.take("2011-03-04", line(500002, "2011-03-04 10:00", "10002"))
    assert [customers.of(f"2011-03-0{day}")["recency_days"] for day in (1, 2, 3, 4)] == [0, 1, 2, 3]


MOMENT = timedelta(microseconds=1)
INSTANTS = st.integers(0, 12).map(lambda hour: datetime(2024, 1, 1, hour, tzinfo=UTC))
MOMENTS = st.sets(st.tuples(st.sampled_from("abc"), INSTANTS), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@settings(max_examples=8, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
@given(asked=MOMENTS, known=MOMENTS, hours=st.sampled_from([None, 3]))
def test_a_point_in_time_join_finds_the_latest_known_features_and_no_planted_leak(
    world, asked, known, hours
):
    """A leak: a feature that holds a moment after each instant that is asked for.

    Each feature's value is the instant from which it holds.
    """
    leaks = {(key, at + MOMENT) for key, at in asked}
    features = sorted(known | leaks)
    within = timedelta(hours=hours) if hours else None
    session = world.runtime.session
    joined = point_in_time_join(
        session.createDataFrame(_table(asked, "at")),
        session.createDataFrame(_table(features, "event_time", "value")),
        entity=["key"],
        at="at",
        within=within,
    ).toArrow()
    found = {(row["key"], row["at"]): row["value"] for row in joined.to_pylist()}
    for key, at in asked:
        past = [
            instant
            for entity, instant in features
            if entity == key and instant <= at and (within is None or at - instant < within)
        ]
        assert found.pop((key, at)) == max(past, default=None)
    assert found == {}


def _table(rows: Iterable[tuple[str, datetime]], *times: str) -> pa.Table:
    keys, instants = zip(*rows, strict=True)
    at = pa.array(instants, pa.timestamp("us", "UTC"))
    return pa.table({"key": keys, **dict.fromkeys(times, at)})


CALENDAR = {f"holidays_{week}" for week in range(1, 5)}
"""Features that are made from the day alone."""


def test_every_view_says_what_its_features_are_made_from():
    for view in tables.features:
        lineage = view.lineage()
        named = {*view.entity, *view.features} - CALENDAR
        assert {name for name in named if not lineage[name]} == set()
