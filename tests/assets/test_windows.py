"""Windows over events equal a plain computation, whatever the batches, order and lateness."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import pytest
from dagster import materialize
from hypothesis import given
from hypothesis import strategies as st
from shops import NOON, Event, Shops, arrivals, click, few_of_many_events, till
from worlds import ENGINE, STREAM

from aquifer.stream_assets import stream_asset
from aquifer.stream_table import watermark_of
from resources.engine import EngineResource

ANOMALIES = STREAM["stream.sales_anomalies"]
MINUTE, FIVE_MINUTES, HALF_AN_HOUR = (timedelta(minutes=n) for n in (1, 5, 30))
SALES, CONVERSION, SESSIONS = (
    STREAM[f"stream.{name}"] for name in ("sales_per_minute", "conversion_5m", "web_sessions")
)


@pytest.fixture
def shops(tmp_path: Path) -> Iterable[Shops]:
    world = Shops(tmp_path)
    with closing(world.log):
        yield world


def till_events(dice: Random) -> list[Event]:
    events = []
    for n in range(140):
        seconds, store = dice.uniform(0, 9000), dice.choice(["S01", "S02"])
        type_ = dice.choice(["sale"] * 8 + ["return"])
        events.append(till(f"e{n:03}", seconds, type_, store_id=store))
        if dice.random() < 0.15:
            voided = {"voids": f"e{n:03}", "store_id": store}
            events.append(till(f"v{n:03}", seconds + dice.uniform(-60, 600), "void", **voided))
    return events


def click_events(dice: Random) -> list[Event]:
    events = []
    for n in range(160):
        visitor = f"W{dice.randrange(12)}"
        type_ = dice.choice(["page_view", "page_view", "search", "add_to_basket", "checkout"])
        events.append(click(f"e{n:03}", dice.uniform(0, 18_000), visitor, type=type_))
    return events


def sales_by_minute(events: Iterable[Event]) -> dict[tuple, tuple]:
    """The batch computation: by minute and store."""
    events = list(events)
    voided = {event["voids"] for event in events if event["type"] == "void"}
    groups = defaultdict(list)
    for event in events:
        if event["type"] != "void" and event["event_id"] not in voided:
            minute = event["event_time"].replace(second=0, microsecond=0)
            groups[minute, event["store_id"]].append(event)
    return {
        key: (
            sum(event["type"] == "sale" for event in group),
            sum(event["type"] == "return" for event in group),
            sum(
                (line["quantity"] * line["unit_price"] - line["discount"])
                for event in group
                for line in event["lines"]
            ),
        )
        for key, group in groups.items()
    }


@few_of_many_events
@given(st.builds(Random, st.integers(0, 2**32)))
def test_sales_by_minute_equal_a_batch_computation(dice: Random) -> None:
    # Each batch counts as many events, so that closed windows are corrected once a minute only.
    table = replace(SALES, few=0)
    with TemporaryDirectory() as folder:
        world = Shops(Path(folder))
        for batch in arrivals(dice, till_events(dice), 4):
            world.arrive("pos.events", batch, table)
        table.catch_up(world.runtime)
        rows = world.live(SALES)
        found = {
            (row["window_start"], row["store_id"]): (
                row["sales"],
                row["returns"],
                row["net_amount"],
            )
            for row in rows
        }
        assert found == sales_by_minute(world.rows("silver.pos_events"))
        watermark = table.advance(world.runtime).watermark
        assert all(row["is_final"] == (row["window_end"] <= watermark) for row in rows)
        assert all(row["taken_in"] for row in world.rows("stream.sales_per_minute_late"))


@few_of_many_events
@given(st.builds(Random, st.integers(0, 2**32)))
def test_conversion_and_sessions_equal_a_batch_computation(dice: Random) -> None:
    with TemporaryDirectory() as folder:
        world = Shops(Path(folder))
        for batch in arrivals(dice, click_events(dice), 3):
            world.arrive("web.events", batch, SESSIONS, CONVERSION)
        for table in (SESSIONS, CONVERSION):
            table.catch_up(world.runtime)
        events = world.rows("silver.web_events")
        assert {
            row["window_start"]: (row["sessions"], row["baskets"], row["checkouts"])
            for row in world.live(CONVERSION)
        } == conversion(events)
        assert sorted(
            (row["visitor_id"], row["window_start"], row["window_end"], row["events"])
            for row in world.live(SESSIONS)
        ) == sorted(sessions(events))


def conversion(events: Iterable[Event]) -> dict[datetime, tuple[int, ...]]:
    groups = defaultdict(list)
    for event in events:
        minute = event["event_time"].replace(second=0, microsecond=0)
        for n in range(5):
            groups[minute - n * MINUTE].append(event)
    return {
        start: tuple(
            len({event["session_id"] for event in group if type_ in (None, event["type"])})
            for type_ in (None, "add_to_basket", "checkout")
        )
        for start, group in groups.items()
    }


def sessions(events: Iterable[Event]) -> list[tuple]:
    visits = defaultdict(list)
    for event in events:
        visits[event["visitor_id"]].append(event["event_time"])
    found = []
    for visitor, times in visits.items():
        times.sort()
        begin = 0
        for n, time in enumerate(times):
            if n + 1 == len(times) or times[n + 1] - time >= HALF_AN_HOUR:
                found.append((visitor, times[begin], time + HALF_AN_HOUR, n + 1 - begin))
                begin = n + 1
    return found


def test_a_late_event_corrects_its_window_and_one_too_late_waits(shops: Shops) -> None:
    def noon() -> int:
        (row,) = (row for row in shops.live(SALES) if row["window_start"] == NOON)
        return int(row["sales"])

    shops.arrive("pos.events", [till("a", 0), till("b", 600)], SALES)
    first, second = sorted(shops.live(SALES), key=lambda row: row["window_start"])
    assert (first["is_final"], second["is_final"]) == (True, False)
    assert first["window_end"] == NOON + MINUTE
    # The watermark is at 12:09; the first minute takes events in until it is at 12:11.
    late = [till("c", 30), till("d", 30), till("v", 700, "void", voids="a")]
    shops.arrive("pos.events", [*late, till("e", 719.999)], SALES)
    assert noon() == 2
    shops.arrive("pos.events", [till("f", 30), till("g", 720)], SALES)
    assert noon() == 3
    too_late = [till("h", 30), till("w", 730, "void", voids="c"), till("x", 731, "void", voids="d")]
    shops.arrive("pos.events", too_late)
    advanced = SALES.advance(shops.runtime)
    assert (advanced.rows_in, advanced.late) == (3, 3)
    assert noon() == 3
    aside = shops.live("stream.sales_per_minute_late")
    assert {row["event_id"]: row["window_start"] for row in aside} == dict.fromkeys("hcd", NOON)
    assert not any(row["taken_in"] for row in aside)
    # A materialisation takes them in, and says what its checks found.
    engine = EngineResource(url=ENGINE, lake=shops.lake_resource)
    wired = {"lake": shops.lake_resource, "engine": engine}
    run = materialize([stream_asset(SALES)], resources=wired)
    assert noon() == 2
    assert all(row["taken_in"] for row in shops.live("stream.sales_per_minute_late"))
    checks = run.get_asset_check_evaluations()
    assert {check.check_name: check.passed for check in checks}["sales_ge"]
    assert all(check.passed for check in checks)
    (materialized,) = run.asset_materializations_for_node("stream_sales_per_minute")
    lineage = materialized.metadata["dagster/column_lineage"].lineage.deps_by_column
    assert [dep.column_name for dep in lineage["city"]] == ["city"]


def test_an_advance_that_was_killed_is_repeated_without_effect(shops: Shops) -> None:
    """Progress stands in the transaction of the rows: without it, the same rows come out again."""
    shops.arrive("pos.events", [till("a", 0), till("b", 90), till("c", 95)], SALES)
    shops.arrive("web.events", [click("a", 0), click("b", 60), click("c", 4000)], SESSIONS)
    for table, upstream in ((SALES, "silver.pos_events"), (SESSIONS, "silver.web_events")):
        before = shops.rows(table.name)
        shops.lake.record(table.name, {upstream: 0, watermark_of(upstream): 0})
        repeated = table.advance(shops.runtime)
        assert (repeated.rows_in, repeated.written, repeated.late) == (3, 0, 0)
        assert shops.rows(table.name) == before
        # Nothing new is no commit.
        assert table.advance(shops.runtime).version == repeated.version


def test_anomalies_are_the_closed_minutes_far_from_the_hour_before(shops: Shops) -> None:
    """As a plain computation finds them, also after a late event has corrected a minute."""
    dice = Random(5)
    sold = [dice.choice([9, 10, 11]) for _ in range(70)]
    sold[40], sold[55], sold[65] = 20, 1, 22
    events = [
        till(f"{minute:02}-{n}", 60 * minute + n)
        for minute, count in enumerate(sold)
        for n in range(count)
    ]
    shops.arrive("pos.events", events[:450], SALES, ANOMALIES)
    shops.arrive("pos.events", events[450:], SALES, ANOMALIES)
    found = shops.live(ANOMALIES)
    assert {(row["window_start"] - NOON) // MINUTE: row["side"] for row in found} == {
        40: "above",
        55: "below",
        65: "above",
    }
    (above,) = (row for row in found if row["window_start"] == NOON + 40 * MINUTE)
    assert (above["observed"], above["expected"], above["history"]) == (50, 25, 40)
    spread = 1.4826 * median(abs(count * 2.5 - 25) for count in sold[:40])
    assert above["spread"] == pytest.approx(spread)
    assert above["score"] == pytest.approx(25 / spread)
    corrections = [till(f"late {n}", 60 * 55 + 30 + n) for n in range(8)]
    shops.arrive("pos.events", [*corrections, till("on", 60 * 70)], SALES)
    SALES.catch_up(shops.runtime)
    ANOMALIES.advance(shops.runtime)
    assert {(row["window_start"] - NOON) // MINUTE for row in shops.live(ANOMALIES)} == {40, 65}


def test_with_many_events_closed_windows_are_corrected_once_a_minute(shops: Shops) -> None:
    def noon() -> int:
        (row,) = (row for row in shops.live(table) if row["window_start"] == NOON)
        return int(row["sales"])

    table = replace(SALES, few=0)
    shops.arrive("pos.events", [till("a", 0), till("b", 600)], table)
    # The watermark goes from 12:09:00 to 12:09:30, and on to 12:10.
    shops.arrive("pos.events", [till("c", 30), till("d", 630)], table)
    assert (noon(), len(shops.live(table))) == (1, 2)
    shops.arrive("pos.events", [till("e", 660)], table)
    assert noon() == 2
    # Or when nothing else is left to do, and with what came too late.
    shops.arrive("pos.events", [till("f", 31), till("g", 661)], table)
    assert noon() == 2
    table.advance(shops.runtime)
    assert noon() == 3
    shops.arrive("pos.events", [till("h", 32), till("i", 662)], table)
    table.catch_up(shops.runtime)
    assert noon() == 4
