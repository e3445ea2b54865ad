"""Events as they should not be: each is in silver, a dead letter, or counted as a duplicate."""

import json
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import chaos
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import DIMENSIONS, SILVER, Streams

from aquifer.asset_checks import ACCOUNTED, check_results
from aquifer.contract import Field
from aquifer.dbt_project import failure, is_test
from aquifer.errors import ContractError
from aquifer.eventlog import UnknownTopic
from aquifer.replay import replay
from assets.silver.pos_events import PosEvent
from resources.event_log.embedded import EmbeddedEventLog

TOPIC = "pos.events"
TABLE, QUARANTINE = "silver.pos_events", "silver.pos_events_quarantine"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
UNREADABLE = ["json_unreadable"]


def till(event_id: Any, **fields: Any) -> dict[str, Any]:
    event = {
        "event_id": event_id,
        "type": "sale",
        "event_time": NOON.isoformat(),
        "sent_at": NOON.isoformat(),
        "store_id": "S01",
        "register": 3,
        "cashier_id": "C7",
        "payment": "card",
        "lines": [{"sku": "22423", "quantity": 1, "unit_price": "10.95", "discount": "0"}],
    }
    return event | fields


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def whole(event_id: str, **fields: Any) -> bytes:
    return json.dumps(till(event_id, **fields)).encode()


POISON: dict[str, tuple[bytes, list[str]]] = {
    "nothing": (b"", UNREADABLE),
    "no UTF-8": (b'{"event_id": "\xff"}', UNREADABLE),
    "truncated": (whole("p")[:60], UNREADABLE),
    "a number": (b"17", UNREADABLE),
    "a list": (b"[1, 2]", UNREADABLE),
    "null": (b"null", UNREADABLE),
    "null bytes": (bytes(100), UNREADABLE),
    "a null byte within": (whole("p").replace(b"S01", b"S\x0001"), UNREADABLE),
    "half a surrogate pair": (whole("p").replace(b"S01", b"S\\ud800"), UNREADABLE),
    "no number": (whole("p", register=float("nan")), UNREADABLE),
    "two events": (whole("p") * 2, UNREADABLE),
    "nested": (whole("p")[:-1] + f', "x": {nested(500)}}}'.encode(), UNREADABLE),
    "nested deeper": (whole("p")[:-1] + f', "x": {nested(50_000)}}}'.encode(), UNREADABLE),
    "nested without end": (b'{"a":' * 50_000, UNREADABLE),
    "10 MB of nothing": (b"{" + b"x" * 10_000_000, UNREADABLE),
    "a number for lines": (whole("p", lines=5), ["lines_given"]),
    "no register of so many digits": (
        whole("p", register=10**30),
        ["register_not_null", "register_unreadable"],
    ),
    "a day that no table holds": (
        whole("p", event_time="12026-01-01T00:00:00Z"),
        ["event_time_not_null", "event_time_unreadable"],
    ),
}


class Tills(Streams):
    """A world with tills."""

    table = SILVER[TABLE]

    def lost(self) -> int:
        return self.table.standing(self.lake).lost

    def accounted(self) -> bool:
        """What the check of rows says of the table."""
        standing, advance = self.table.standing(self.lake), self.table.advance(self.runtime)
        results = check_results(advance, standing, self.table.contract)
        (verdict,) = (result.passed for result in results if result.check_name == ACCOUNTED)
        return verdict

    def sold(self) -> Counter[str]:
        """How many lines each event has in gold, among dimensions that hold nothing."""
        for name in DIMENSIONS:
            self.lake.ensure(name, self.gold.schema(name), self.gold.partition(name))
        built = self.gold.build(self.runtime, self.remote, ["gold.fct_sales"])
        # Tests of references fail, since there is nothing to refer to.
        failed = [failure(event) for event in built if not is_test(event)]
        assert not any(failed), failed
        return Counter(row["invoice_no"] for row in self.rows("gold.fct_sales"))

    def ids(self) -> list[str]:
        return sorted(row["event_id"] for row in self.rows(TABLE))

    def refused(self) -> dict[str, list[str]]:
        return {row["raw"]: sorted(row["reasons"]) for row in self.rows(QUARANTINE)}


@pytest.fixture
def tills(tmp_path: Path) -> Tills:
    return Tills(tmp_path)


def test_poison_is_a_dead_letter_with_its_reason_and_holds_up_nothing(tills: Tills) -> None:
    letters = [value for value, _ in POISON.values()]
    tills.produce(TOPIC, till("before"), *letters, till("after"))
    advance = tills.take_in(TOPIC)
    assert (advance.kept, advance.quarantined, advance.duplicates) == (2, len(POISON), 0)
    assert tills.ids() == ["after", "before"]
    rows = sorted(tills.rows(QUARANTINE), key=lambda row: json.loads(row["_origin"])["_offset"])
    reasons = dict(zip(POISON, (sorted(row["reasons"]) for row in rows), strict=True))
    assert reasons == {name: expected for name, (_, expected) in POISON.items()}
    # What is no text, and what begins like a binary format, is told in base64.
    strays = {"no UTF-8", "null bytes"}
    texts = [b64encode(value) if name in strays else value for name, (value, _) in POISON.items()]
    assert [row["raw"].encode() for row in rows] == texts
    assert tills.accounted()


def test_an_event_of_10_mb_reaches_gold(tills: Tills) -> None:
    line = {"sku": "22423", "quantity": 1, "unit_price": "1.00", "discount": "0"}
    tills.produce(TOPIC, till("long", lines=[line] * 130_000), till("padded", note="x" * 10**7))
    assert min(len(row["value"]) for row in _received(tills)) > 9_000_000
    assert tills.take_in(TOPIC).kept == 2
    assert tills.sold() == {"long": 130_000, "padded": 1}


def test_each_event_lies_in_the_month_of_its_own_time(tills: Tills) -> None:
    times = ["2026-02-28T23:59:59.999999Z", "2026-03-01T00:00:00Z", "2025-12-31T23:59:59Z"]
    tills.produce(TOPIC, *(till(time, event_time=time) for time in times))
    assert tills.take_in(TOPIC).kept == len(times)
    assert {row["event_id"]: row["_month"] for row in tills.rows(TABLE)} == {
        time: time[:7] for time in times
    }


def _received(tills: Tills) -> list[dict[str, Any]]:
    tills.table.reads.advance(tills.lake, tills.log)
    return tills.rows("bronze.pos_events")


def test_an_event_from_the_future_is_kept_and_moves_no_watermark(tills: Tills) -> None:
    tills.produce(TOPIC, till("now"))
    watermark = tills.take_in(TOPIC).watermark
    assert watermark == NOON - timedelta(minutes=1)
    tills.produce(TOPIC, till("future", event_time="2199-01-01T00:00:00Z"))
    advance = tills.take_in(TOPIC)
    assert (advance.kept, advance.late) == (1, 0)
    # As far as the log's clock has come, which is that of this machine.
    assert advance.watermark < datetime.now(UTC)
    assert tills.ids() == ["future", "now"]


def test_a_topic_that_does_not_exist_is_named_in_one_line(tills: Tills, tmp_path: Path) -> None:
    with pytest.raises(UnknownTopic, match=r"^there is no topic 'pos\.events' in .*; create it"):
        tills.table.reads.advance(tills.lake, EmbeddedEventLog(tmp_path / "nothing"))


def test_every_event_is_accounted_for_whatever_came_before(tills: Tills) -> None:
    orders = [*permutations(["card", "cash", "mobile"])]
    for place in (0, 0, 1, 2, 1, 2):
        contents = [till("-".join(order), payment=order[place]) for order in orders]
        tills.produce(TOPIC, *contents, b"poison")
        assert tills.take_in(TOPIC).accounted
        assert tills.lost() == 0
    assert len(tills.rows(TABLE)) == 6
    assert tills.accounted()


@pytest.mark.parametrize("name", [TABLE, QUARANTINE])
def test_a_row_that_is_gone_fails_the_check_for_good(tills: Tills, name: str) -> None:
    tills.produce(TOPIC, till("a"), till("b"), b"poison", b"venom")
    tills.take_in(TOPIC)
    assert tills.accounted()
    gone = "event_id = 'a'" if name == TABLE else "raw = 'venom'"
    tills.lake.table(name).delete(gone)
    assert not tills.accounted()
    tills.produce(TOPIC, till("c"), b"more")
    assert tills.take_in(TOPIC).accounted
    assert not tills.accounted()


def test_a_repaired_dead_letter_that_stands_for_an_event_puts_the_other_content_aside(
    tills: Tills,
) -> None:
    """Whichever of the two contents counts, the other is a dead letter."""
    ids = [f"e{n}" for n in range(6)]
    tills.produce(TOPIC, *(till(e) for e in ids), *(till(e, register="none") for e in ids))
    tills.take_in(TOPIC)
    repairs = {
        row["position"]: json.dumps(json.loads(row["raw"]) | {"register": 9})
        for row in tills.rows(QUARANTINE)
    }
    done = replay(tills.table, tills.runtime, repairs)
    assert done.taken_in
    assert done.refused
    registers = {row["event_id"]: row["register"] for row in tills.rows(TABLE)}
    assert Counter(registers.values()) == {9: done.taken_in, 3: done.refused}
    waiting = {
        json.loads(row["repaired"] or row["raw"])["event_id"]: row["reasons"]
        for row in tills.rows(QUARANTINE)
        if row["replayed_at"] is None
    }
    assert waiting == {event_id: ["conflicting_content"] for event_id in ids}
    assert tills.accounted()
    # Again it changes nothing: what has lost loses again.
    before = tills.content(TABLE, QUARANTINE)
    assert replay(tills.table, tills.runtime, {}).taken_in == 0
    assert tills.content(TABLE, QUARANTINE) == before
    assert tills.accounted()


class Scanned(PosEvent):
    """Events of tills that scan, too."""

    scanner: str | None = Field(description="what scanned the goods")

    class Config:
        metadata = PosEvent.Config.metadata


def test_a_schema_that_changes_in_mid_stream_drops_no_event(tills: Tills) -> None:
    lacking = till("lacking")
    del lacking["store_id"]
    tills.produce(TOPIC, till("old"), till("added", scanner="Z1"))
    assert tills.take_in(TOPIC).kept == 2
    tills.produce(TOPIC, lacking, till("changed", register={"number": 3}))
    assert tills.take_in(TOPIC).quarantined == 2
    reasons = {json.loads(raw)["event_id"]: why for raw, why in tills.refused().items()}
    assert reasons == {
        "lacking": ["store_id_not_null"],
        "changed": ["register_not_null", "register_unreadable"],
    }
    # The contract gains the field.
    scanned = replace(tills.table, contract=Scanned, query=_with_scanner(tills.table.query))
    tills.produce(TOPIC, till("filled", scanner="Z2"), till("without"))
    scanned.reads.advance(tills.lake, tills.log)
    assert scanned.advance(tills.runtime).kept == 2
    scanners = {row["event_id"]: row["scanner"] for row in tills.rows(TABLE)}
    assert scanners == {"old": None, "added": None, "filled": "Z2", "without": None}
    # A build that has not heard of it goes on.
    tills.produce(TOPIC, till("later", scanner="Z3"))
    assert tills.take_in(TOPIC).kept == 1
    # The dead letters, repaired.
    repairs = {
        row["position"]: json.dumps(till(json.loads(row["raw"])["event_id"]))
        for row in tills.rows(QUARANTINE)
    }
    assert replay(tills.table, tills.runtime, repairs).taken_in == 2
    assert tills.accounted()
    assert {*tills.sold()} == {"old", "added", "filled", "without", "later", "lacking", "changed"}


def _with_scanner(query: str) -> str:
    return query.replace("select *,", "select *, nullif(trim(raw.scanner), '') as scanner,", 1)


def test_a_column_of_another_type_is_refused_before_anything_is_written(tills: Tills) -> None:
    class Renumbered(PosEvent):
        """Events of tills whose registers have names."""

        register: str = Field(description="name of the till")

        class Config:
            metadata = PosEvent.Config.metadata

    tills.produce(TOPIC, till("a"))
    tills.take_in(TOPIC)
    tills.produce(TOPIC, till("b", register="left"))
    tills.table.reads.advance(tills.lake, tills.log)
    with pytest.raises(ContractError, match=r"pos_events\.register is .*; give"):
        replace(tills.table, contract=Renumbered).advance(tills.runtime)
    assert tills.ids() == ["a"]
    assert tills.table.advance(tills.runtime).quarantined == 1


STORY = [event.value for event in chaos.history(7, 60) if event.topic == TOPIC]
"""A short history full of trouble."""


@pytest.fixture(scope="module")
def told_at_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple]]:
    return _told(tmp_path_factory.mktemp("at_once"), STORY, [])


def _told(folder: Path, events: list[bytes], cuts: list[int]) -> dict[str, list[tuple]]:
    """What comes of events in silver and gold, taken in by batches that end at these places."""
    tills = Tills(folder)
    bounds = [0, *sorted(cuts), len(events)]
    for begin, end in pairwise(bounds):
        tills.produce(TOPIC, *events[begin:end])
        assert tills.take_in(TOPIC).accounted
        tills.sold()
    assert tills.lost() == 0
    return tills.content(TABLE, "gold.fct_sales")


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_neither_order_nor_repetition_nor_batches_matter(
    told_at_once: dict[str, list[tuple]],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    again = data.draw(st.lists(st.sampled_from(STORY), max_size=20))
    events = data.draw(st.permutations([*STORY, *again]))
    cuts = data.draw(st.lists(st.integers(0, len(events)), min_size=1, max_size=4))
    assert _told(tmp_path_factory.mktemp("otherwise"), events, cuts) == told_at_once
