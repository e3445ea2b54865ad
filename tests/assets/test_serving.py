"""What is served equals a batch over all events, wherever batch and speed layer part."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shops import NOON, Event, Shops, arrivals, few_of_many_events, till
from worlds import DIMENSIONS, STREAM

from aquifer.query import Queries
from assets import tables
from resources.cache import FolderCache

BATCH = ["gold.fct_sales", "gold.sales_by_minute"]
MINUTE = timedelta(minutes=1)


class Counters(Shops):
    """A world with tills whose sales are served, from a cache of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.put_stores(("Leeds", NOON - MINUTE), ("York", NOON + 60 * MINUTE))
        assert self.build(*DIMENSIONS) == []
        self.cache = FolderCache(folder / "cache")

    def ask(self, sql: str) -> list[dict[str, Any]]:
        return Queries(self.lake, tables.serving, self.cache).run(sql).to_pylist()

    def served(self) -> dict[tuple, tuple]:
        return {
            (row["minute"], row["store_id"]): (row["sales"], row["lines"], row["revenue"])
            for row in self.ask("select * from serving.sales_by_minute where channel = 'store'")
        }

    def expected(self) -> dict[tuple, tuple]:
        events = self.rows("silver.pos_events")
        return {
            (minute.replace(tzinfo=None), store): counted
            for (minute, store), counted in sold(events).items()
        }


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counters]:
    world = Counters(tmp_path_factory.mktemp("counters"))
    with closing(world.log):
        yield world


def sold(events: Iterable[Event]) -> dict[tuple, tuple]:
    """The batch computation: by minute and store that the dimension knows."""
    events = list(events)
    voided = {event["voids"] for event in events if event["type"] == "void"}
    groups = defaultdict(list)
    for event in events:
        if event["type"] != "void" and event["event_id"] not in voided:
            minute = event["event_time"].replace(second=0, microsecond=0)
            store = event["store_id"] if event["store_id"] == "S01" else "unknown"
            groups[minute, store].append(event)
    return {
        key: (
            sum(event["type"] == "sale" for event in group),
            sum(len(event["lines"]) for event in group),
            sum(
                line["quantity"] * line["unit_price"] - line["discount"]
                for event in group
                for line in event["lines"]
            ),
        )
        for key, group in groups.items()
    }


def history(dice: Random) -> list[Event]:
    events, mark = [], f"{dice.randrange(10**9):09}"
    for n in range(60):
        seconds, store = dice.uniform(0, 3600), dice.choice(["S01", "S99"])
        events.append(till(f"{mark}{n}", seconds, dice.choice(["sale", "return"]), store_id=store))
        if dice.random() < 0.3:
            voided = {"voids": f"{mark}{n}", "store_id": store}
            events.append(till(f"{mark}v{n}", seconds + 60, "void", **voided))
    return events


@settings(few_of_many_events, max_examples=1)
@given(st.builds(Random, st.integers(0, 2**32)))
def test_served_sales_equal_a_batch_wherever_it_ends(counters: Counters, dice: Random) -> None:
    for number, batch in enumerate(arrivals(dice, history(dice), 4)):
        counters.arrive("pos.events", batch)
        if number == 2 or dice.random() < 0.3:
            assert counters.build(*BATCH) == []
        elif number:
            # Facts that are ahead of what the batch has taken in whole.
            assert counters.build("gold.fct_sales", appending=["silver.pos_events"]) == []
        assert counters.served() == counters.expected()
    assert counters.build(*BATCH) == []
    # The batch alone, without a minute left of the speed layer.
    alone = counters.ask("select minute, store_id, revenue from gold.sales_by_minute")
    assert {(row["minute"], row["store_id"]): row["revenue"] for row in alone} == {
        key: revenue for key, (_, _, revenue) in counters.expected().items()
    }


def test_today_is_served_before_any_batch_and_from_the_cache(tmp_path: Path) -> None:
    world = Shops(tmp_path)
    cache = FolderCache(tmp_path / "cache")

    def today() -> list[tuple]:
        sql = "select store_id, sales, revenue from serving.sales_today"
        rows = Queries(world.lake, tables.serving, cache).run(sql).to_pylist()
        return [tuple(row.values()) for row in rows]

    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    with closing(world.log):
        now = {"event_time": noon.isoformat()}
        world.arrive("pos.events", [till("a", 0, **now), till("yesterday", 0)])
        assert today() == [("unknown", 1, Decimal("2.50"))]
        (kept,) = (tmp_path / "cache").iterdir()
        kept.unlink()
        assert today() == [("unknown", 1, Decimal("2.50"))]
        written = kept.stat().st_mtime_ns
        assert today() == [("unknown", 1, Decimal("2.50"))]
        assert kept.stat().st_mtime_ns == written
        world.arrive("pos.events", [till("b", 0, **now)])
        assert today() == [("unknown", 2, Decimal("5.00"))]


def test_what_is_cached_has_an_end(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path / "cache")
    assert cache.get("answer") is None
    cache.put("answer", b"42")
    assert cache.get("answer") == b"42"
    over = FolderCache(tmp_path / "cache", timedelta(seconds=-1))
    assert over.get("answer") is None
    over.put("other", b"")
    assert not list((tmp_path / "cache").iterdir())


def test_a_store_is_as_it_was_at_the_time_of_the_sale(tmp_path: Path) -> None:
    """Before the dimension has come, and when it changes afterwards."""
    shops = Shops(tmp_path)
    sales = STREAM["stream.sales_per_minute"]
    shops.arrive("pos.events", [till("a", 0), till("b", 7200)], sales)
    assert {row["country"] for row in shops.live(sales)} == {"Unspecified"}
    shops.put_stores(("Leeds", NOON - MINUTE), ("York", NOON + 30 * MINUTE))
    assert shops.build("gold.dim_store") == []
    advanced = sales.advance(shops.runtime)
    assert (advanced.rows_in, advanced.late) == (0, 0)
    assert [
        (row["city"], row["country"])
        for row in sorted(shops.live(sales), key=lambda row: row["window_start"])
    ] == [("Leeds", "United Kingdom"), ("York", "United Kingdom")]
