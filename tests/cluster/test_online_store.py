"""The online store on Redis: features as offline, whole at each instant."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from threading import Event, Thread

import pytest
from worlds import HEADER, Invoices

from aquifer.errors import PassingError
from aquifer.features.online import latest, online_features
from aquifer.features.view import FeatureView
from assets.features.customer_behaviour import customer_behaviour
from deploy.servers import Redis
from resources.online_store import OnlineStoreResource

VIEW = customer_behaviour.name


@pytest.fixture(scope="module")
def redis(servers: Path) -> Iterator[Redis]:
    server = Redis(servers)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def customers(redis: Redis, tmp_path: Path) -> Invoices:
    world = Invoices(tmp_path)
    world.online = OnlineStoreResource(url=redis.url).store
    return world


def take(world: Invoices, day: str, customers: int, view: FeatureView = customer_behaviour) -> None:
    """Let so many customers buy on a day, and compute their features."""
    lines = [
        f"{500_000 + int(day[-2:]) * 1000 + n},22423,CAKE STAND,1,{day} 10:00:00,2.50,"
        f"{10_000 + n},United Kingdom"
        for n in range(customers)
    ]
    world.land(f"{day}.csv", HEADER, *lines)
    assert world.take_in().accounted
    assert world.compute(view)


def test_features_in_redis_are_those_of_the_lake(customers):
    take(customers, "2011-03-01", 2500)
    take(customers, "2011-03-02", 3)
    rows = latest(customers.lake, VIEW).to_pylist()
    assert {row["day"] for row in rows} == {date(2011, 3, 2)}
    held = online_features(customers.online, VIEW, [[row["customer_id"]] for row in rows])
    for row, features in zip(rows, held, strict=True):
        assert features["event_time"] == row["event_time"].isoformat()
        assert {n: features[n] for n in customer_behaviour.features} == {
            n: row[n] for n in customer_behaviour.features
        }
    assert online_features(customers.online, VIEW, [["unknown"]]) == [None]


def test_a_view_is_replaced_at_once_for_who_reads_it(customers):
    """While a view is written again and again, each look finds all entities of one writing."""
    keys = [str(n) for n in range(3000)]
    customers.online.replace("any", ((key, "0") for key in keys))
    ended, torn = Event(), []

    def read() -> None:
        while not ended.is_set():
            found = set(customers.online.get("any", ["0", "1500", "2999"]))
            if len(found) > 1:
                torn.append(found)

    reader = Thread(target=read)
    reader.start()
    for writing in range(1, 20):
        customers.online.replace("any", ((key, str(writing)) for key in keys))
    ended.set()
    reader.join()
    assert torn == []
    assert customers.online.get("any", ["7"]) == ["19"]


def test_a_store_that_is_away_is_told_of_and_features_are_computed_again(redis, customers):
    take(customers, "2011-03-01", 3)
    redis.stop()
    with pytest.raises(PassingError, match="the online store does not answer"):
        take(customers, "2011-03-02", 4)
    redis.start()
    assert customers.compute(customer_behaviour)
    assert online_features(customers.online, VIEW, [["10003"]])[0]["recency_days"] == 0
