"""The live event simulator: one sequence of bytes, open loop, true to life, with known dirt."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from conftest import invoice_files

from aquifer.errors import SettingError
from aquifer.landing import LandingFolder, deliver_files
from resources.simulation.play import SKU, Simulation
from resources.simulation.streams.catalogue import SAMPLE, Catalogue, catalogue
from resources.simulation.streams.dirt import PARTS, REPEATS, Dirt
from resources.simulation.streams.openloop import SHARES
from resources.simulation.streams.stream import EventStream

START = datetime(2026, 3, 1, 8, 26, tzinfo=UTC)
RATE = 2000
SLOTS = 20_000

COMMON = {"event_id", "type", "event_time", "sent_at"}
TILL = COMMON | {"store_id", "register", "cashier_id", "member_id", "payment", "lines"}
SHOP = COMMON | {"session_id", "visitor_id", "customer_id", "device"}
SHOP |= {"page", "query", "sku", "quantity"}
THING = COMMON | {"store_id", "device_id", "value", "unit"}
FIELDS = {"pos.events": TILL, "web.events": SHOP, "mobile.events": SHOP, "iot.readings": THING}
TYPES = {
    "pos.events": {"sale", "return", "void"},
    "web.events": {"page_view", "search", "add_to_basket", "checkout"},
    "mobile.events": {"page_view", "search", "add_to_basket", "checkout"},
    "iot.readings": {"temperature", "footfall", "energy", "door"},
}
INSTANT = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z$")
UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
MONEY = re.compile(r"^[0-9]+[.][0-9]{2}$")


@pytest.fixture(scope="module")
def goods(tmp_path_factory) -> Catalogue:
    nothing = tmp_path_factory.mktemp("nothing")
    return catalogue(nothing / "orders.db", nothing / "rewards.db", LandingFolder(nothing), 17)


@pytest.fixture(scope="module")
def dirty(goods) -> dict[str, list[tuple]]:
    """Key, value and timestamp of every event of the first slots, by topic."""
    return rows(EventStream(17, START, RATE, goods).batch(0, SLOTS).events)


@pytest.fixture(scope="module")
def clean(goods) -> dict[str, list[tuple]]:
    return rows(EventStream(17, START, RATE, goods, clean=True).batch(0, SLOTS).events)


@pytest.fixture(scope="module")
def of_20_minutes(goods) -> list[dict]:
    """What happens at the tills, in the order in which it is sent."""
    return happened(
        EventStream(17, START, 30, goods, ["pos.events"], clean=True), "pos.events", 36_000
    )


def rows(tables: dict[str, pa.Table]) -> dict[str, list[tuple]]:
    return {
        topic: list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        for topic, table in tables.items()
    }


def happened(stream: EventStream, topic: str, slots: int) -> list[dict]:
    """The events of a topic, in the order in which they are sent."""
    return [
        json.loads(value) for value in stream.batch(0, slots).events[topic]["value"].to_pylist()
    ]


def triples(values: list) -> Iterable[tuple]:
    return zip(values, values[1:], values[2:], strict=False)


def at(event: dict, name: str = "event_time") -> datetime:
    return datetime.fromisoformat(event[name])


def dirts(goods: Catalogue, topic: str, count: int) -> list[Dirt | None]:
    return list(EventStream(17, START, RATE, goods).dirt(topic, range(count)))


def together(batches: Sequence) -> dict[str, list[tuple]]:
    found = defaultdict(list)
    for batch in batches:
        for topic, events in rows(batch.events).items():
            found[topic] += events
    return dict(found)


def test_every_way_of_slicing_the_stream_gives_the_same_bytes(goods, dirty):
    stream = EventStream(17, START, RATE, goods)
    assert together(stream.batches(slots=SLOTS)) == dirty
    assert together(stream.batches(timedelta(seconds=1.37), SLOTS)) == dirty
    # One that begins in the middle, and asks for the end before the beginning.
    stream = EventStream(17, START, RATE, goods)
    cuts = [0, 1, 7, 12_345, SLOTS]
    parts = [stream.batch(first, last) for first, last in reversed(list(pairwise(cuts)))]
    assert together(parts[::-1]) == dirty


def test_another_seed_start_or_rate_is_another_stream(goods, dirty):
    ids = {value[13:49] for events in dirty.values() for _, value, _ in events}
    for seed, start, rate in (
        (18, START, RATE),
        (17, START + timedelta(microseconds=1), RATE),
        (17, START, RATE + 0.5),
    ):
        batch = EventStream(seed, start, rate, goods).batch(0, 200)
        other = {value[13:49] for events in rows(batch.events).values() for _, value, _ in events}
        assert not ids & other


def test_events_are_due_evenly_and_carry_when(clean):
    due = sorted(timestamp for events in clean.values() for _, _, timestamp in events)
    assert due[0] == START
    missing = SLOTS - len(due)
    assert 0 < missing < SLOTS * 0.01, "what is sent again takes a slot, and is left out here"
    assert {(b - a) % timedelta(microseconds=500) for a, b in pairwise(due)} == {timedelta(0)}
    for events in clean.values():
        assert all(at(json.loads(value), "sent_at") == timestamp for _, value, timestamp in events)


@pytest.mark.parametrize("rate", [0.01, 3, 19.97, 1234.5, 1_000_000])
def test_a_slot_is_due_from_its_instant_on(goods, rate):
    stream = EventStream(17, START, rate, goods, ["iot.readings"])
    for slot in (0, 1, 2, 3, 999, 1_000_003):
        instant = stream.due_at(slot)
        assert abs(instant - START - timedelta(seconds=slot / rate)) <= timedelta(microseconds=1)
        assert stream.due(instant) == slot + 1
        assert stream.due(instant - timedelta(microseconds=1)) == slot


def test_topics_share_the_rate(goods, dirty):
    assert {topic: len(events) for topic, events in dirty.items()} == {
        topic: SLOTS * part // 10 for topic, part in SHARES.items()
    }
    two = EventStream(17, START, RATE, goods, ["iot.readings", "pos.events"])
    assert {topic: table.num_rows for topic, table in two.batch(0, 700).events.items()} == {
        "pos.events": 600,
        "iot.readings": 100,
    }


def test_events_have_their_fields_and_nothing_says_what_they_are_for(clean):
    sizes = []
    for topic, events in clean.items():
        for key, value, _ in events:
            event = json.loads(value)
            assert event.keys() - {"voids"} == FIELDS[topic]
            assert ("voids" in event) == (event["type"] == "void")
            assert event["type"] in TYPES[topic]
            assert UUID7.match(event["event_id"])
            assert INSTANT.match(event["event_time"])
            assert INSTANT.match(event["sent_at"])
            milliseconds = int(event["event_id"].replace("-", "")[:12], 16)
            assert milliseconds == int(at(event).timestamp() * 1000)
            expected = {"pos.events": "{store_id}/{register}", "iot.readings": "{device_id}"}
            assert key.decode() == expected.get(topic, "{session_id}").format(**event)
            sizes.append(len(value))
        if topic != "iot.readings":
            assert all(
                json.dumps(json.loads(v), separators=(",", ":")).encode() == v for _, v, _ in events
            )
    assert 250 < sum(sizes) / len(sizes) < 350


def test_tills_sell_what_there_is_at_its_price(goods, clean):
    prices = dict(goods.products)
    types, members = Counter(), set()
    for _, value, _ in clean["pos.events"]:
        event = json.loads(value)
        types[event["type"]] += 1
        members.add(event["member_id"])
        assert event["store_id"] in goods.stores
        assert event["register"] >= 1
        assert event["payment"] in {"card", "cash", "mobile", "voucher"}
        assert len(event["lines"]) in ([0] if event["type"] == "void" else [1, 2, 3])
        for line in event["lines"]:
            assert line.keys() == {"sku", "quantity", "unit_price", "discount"}
            assert MONEY.match(line["unit_price"])
            assert MONEY.match(line["discount"])
            price, discount = (
                int(line[name].replace(".", "")) for name in ("unit_price", "discount")
            )
            assert price == prices[line["sku"]]
            assert (line["quantity"] < 0) == (event["type"] == "return")
            assert 0 <= discount <= max(0, price * line["quantity"]) // 10
    assert types["sale"] > 0.95 * types.total()
    assert 0.01 < types["return"] / types.total() < 0.03
    assert members - {None} <= set(goods.members)


def test_a_void_names_an_event_of_its_till_whichever_of_the_two_is_sent_first(of_20_minutes):
    by_id = {event["event_id"]: event for event in of_20_minutes}
    overtaking = Counter()
    for void in of_20_minutes:
        if void["type"] == "void":
            sale = by_id[void["voids"]]
            assert sale["type"] == "sale"
            assert all(sale[n] == void[n] for n in ("store_id", "register", "cashier_id"))
            early = at(void, "sent_at") < at(sale, "sent_at")
            overtaking[early] += 1
            if early:
                assert at(sale) < at(void)
    assert overtaking[True] > 5
    assert overtaking[False] > 20


def test_some_cashiers_void_three_times_within_ten_minutes(of_20_minutes):
    voids = defaultdict(list)
    for event in of_20_minutes:
        if event["type"] == "void":
            voids[event["cashier_id"]].append(at(event))
    sprees = [
        cashier
        for cashier, times in voids.items()
        if any(c - a < timedelta(minutes=10) for a, _, c in triples(sorted(times)))
    ]
    assert 1 <= len(sprees) <= 6
    assert len(voids) > 10 * len(sprees)


def test_a_few_returns_are_of_what_the_store_never_sells_and_all_others_of_what_it_sold(
    of_20_minutes,
):
    sold, sold_before, never_sold = set(), 0, set()
    for event in of_20_minutes:
        products = {(event["store_id"], line["sku"]) for line in event["lines"]}
        if event["type"] == "return" and products <= sold:
            sold_before += 1
        elif event["type"] == "return":
            never_sold |= products
        else:
            sold |= products
    assert sold_before > 300
    assert 1 <= len(never_sold) < 0.03 * sold_before
    assert not never_sold & sold


def test_a_store_has_a_plausible_number_of_sales_a_minute_and_now_and_then_a_burst(of_20_minutes):
    minutes = Counter((event["store_id"], event["sent_at"][:16]) for event in of_20_minutes)
    counts = sorted(minutes.values())
    usual = counts[len(counts) // 2]
    bursts = sum(count > 2.2 * usual for count in counts)
    assert len(counts) == 12 * 20
    assert counts[0] > 0.2 * usual
    assert 1 <= bursts < 0.03 * len(counts)


def test_sessions_have_several_events_in_order_and_some_end_with_a_checkout(goods):
    stream = EventStream(17, START, 10, goods, ["web.events", "mobile.events"], clean=True)
    for topic in ("web.events", "mobile.events"):
        sessions = defaultdict(list)
        for event in sorted(happened(stream, topic, 12_000), key=lambda e: e["sent_at"]):
            sessions[event["session_id"]].append(event)
        lengths = Counter(map(len, sessions.values()))
        assert len(lengths) > 5
        assert max(lengths) <= 12
        ends = Counter()
        for events in sessions.values():
            assert len({(e["visitor_id"], e["customer_id"], e["device"]) for e in events}) == 1
            assert events[0]["customer_id"] in {None, *goods.customers}
            types = [e["type"] for e in events]
            assert "checkout" not in types[:-1]
            assert all((e["type"] == "search") == (e["query"] is not None) for e in events)
            ends[tuple(types[-2:])] += 1
            gaps = [at(b, "sent_at") - at(a, "sent_at") for a, b in pairwise(events)]
            # Twice the longest, as a slot may have gone to what is sent again.
            assert all(timedelta(0) < gap < timedelta(seconds=36) for gap in gaps)
        bought = sum(count for types, count in ends.items() if types[-1] == "checkout")
        assert 0.2 < bought / len(sessions) < 0.6
        assert ends["add_to_basket", "checkout"] > 0.97 * bought


def test_some_freezers_get_warm_with_the_door_left_open_or_closed_or_never_opened(goods):
    # From the full hour, so that no spell has begun.
    begin = START.replace(minute=0)
    stream = EventStream(17, begin, 2, goods, ["iot.readings"], clean=True)
    degrees, doors = defaultdict(list), defaultdict(list)
    for event in sorted(happened(stream, "iot.readings", 6 * 7200), key=at):
        if event["type"] == "temperature":
            degrees[event["device_id"]].append((at(event), event["value"]))
        elif event["type"] == "door":
            doors[event["device_id"]].append((at(event), event["value"]))
    kinds, turns = Counter(), []
    for device, readings in degrees.items():
        warm = [time for time, value in readings if value > -15]
        assert len(warm) < 0.1 * len(readings)
        spells = [[warm[0]]] if warm else []
        for before, after in pairwise(warm):
            if after - before > timedelta(minutes=3):
                spells.append([])
            spells[-1].append(after)
        for begin, end in ((spell[0], spell[-1]) for spell in spells):
            assert timedelta(minutes=4) < end - begin < timedelta(minutes=15)
            around = (begin - timedelta(minutes=3), end + timedelta(seconds=5))
            moves = [value for time, value in doors[device] if around[0] < time < around[1]]
            kinds[tuple(moves)] += 1
        turns += [a != b for (_, a), (_, b) in pairwise(doors[device])]
    assert kinds.keys() == {(), (1,), (1, 0)}
    # It opens and closes by turns, but for the slots of what is sent again.
    assert sum(turns) > 0.98 * len(turns) > 100


def test_events_come_late_and_out_of_order_and_some_clocks_are_wrong(clean):
    late, disorder, ahead, last = 0, 0, Counter(), START
    for _, value, sent_at in clean["pos.events"]:
        event = json.loads(value)
        late += sent_at - at(event) > timedelta(minutes=1)
        ahead[event["store_id"], event["register"]] += at(event) > sent_at
        disorder += at(event) < last
        last = at(event)
    count = len(clean["pos.events"])
    assert 0.002 < late / count < 0.009
    assert disorder > 0.2 * count
    skewed = [register for register, times in ahead.items() if times]
    assert 1 <= len(skewed) < 0.01 * len(ahead)


def test_dirt_has_its_share_and_every_kind_occurs(goods):
    for topic, part in SHARES.items():
        count = 20_000 * part
        found = Counter(dirts(goods, topic, count))
        assert 0.01 < 1 - found[None] / count < 0.02
        # Nothing is an hour old before an hour is over.
        assert found.keys() <= {None, *PARTS} - {Dirt.repeated_late}
        for kind in PARTS.keys() - {Dirt.repeated_late}:
            expected = PARTS[kind] * count
            assert abs(found[kind] - expected) < 4 * expected**0.5 + 1
    hour = round(3600 * RATE * SHARES["pos.events"] / 10)
    stream = EventStream(17, START, RATE, goods)
    assert Dirt.repeated_late in stream.dirt("pos.events", range(2 * hour, 2 * hour + 50_000))


def test_ids_are_unique_but_for_what_is_sent_again_or_contradicted(goods, dirty, clean):
    for topic in SHARES:
        values = [value for _, value, _ in dirty[topic]]
        kinds = dirts(goods, topic, len(values))
        meant = {value: json.loads(value)["event_id"] for _, value, _ in clean[topic]}
        assert len(set(meant.values())) == len(meant)
        new = [v for v, kind in zip(values, kinds, strict=True) if kind not in REPEATS]
        assert len(set(new)) == len(new) == len(meant)
        sent = {}
        for place, (value, kind) in enumerate(zip(values, kinds, strict=True)):
            if kind is Dirt.repeated:
                assert place > sent[value]
            if kind is Dirt.contradicted:
                event_id = json.loads(value)["event_id"]
                earlier = [v for v in sent if v in meant and meant[v] == event_id]
                assert len(earlier) == 1
                assert earlier != [value]
            sent.setdefault(value, place)


def test_voids_and_what_they_void_arrive_as_they_are(goods):
    """Else a void could name an event that is never sent."""
    stream = EventStream(17, START, 2, goods, ["pos.events"])
    values = stream.batch(0, 60_000).events["pos.events"]["value"].to_pylist()
    voids = [json.loads(value) for value in values if b'"type":"void"' in value]
    sent = {value[13:49] for value in values}
    assert len(voids) > 100
    assert {void["voids"].encode() for void in voids} <= sent


def test_what_arrives_broken_is_broken_and_the_rest_is_as_it_was_meant(goods, dirty, clean):
    seen = Counter()
    for topic in SHARES:
        kinds = dirts(goods, topic, len(dirty[topic]))
        kept = [
            (kind, key, value)
            for kind, (key, value, _) in zip(kinds, dirty[topic], strict=True)
            if kind not in REPEATS
        ]
        for (kind, key, value), (meant_key, meant, _) in zip(kept, clean[topic], strict=True):
            seen[kind] += 1
            if kind is None:
                assert (key, value) == (meant_key, meant)
            elif kind is Dirt.cut_off:
                assert meant.startswith(value)
                assert len(value) < len(meant)
            elif kind is Dirt.not_utf8:
                with pytest.raises(UnicodeDecodeError):
                    value.decode()
            else:
                event, true = json.loads(value), json.loads(meant)
                changed = {n for n in event.keys() | true.keys() if event.get(n) != true.get(n)}
                assert len(changed) == 1
                (name,) = changed
                assert (name in event) == (kind is not Dirt.field_missing)
                assert (name in true) == (kind is not Dirt.unknown_field)
                assert (key == meant_key) == (
                    topic != "pos.events"
                    or name != "store_id"
                    or kind is not Dirt.unknown_reference
                )
                if kind is Dirt.from_the_future:
                    assert at(event) - at(true) >= timedelta(hours=2)
                if kind is Dirt.written_otherwise and name == "event_time":
                    assert at(event) == at(true)
                if kind is Dirt.empty:
                    assert event[name] in (None, "")
    assert seen.keys() >= PARTS.keys() - REPEATS.keys()


def test_the_catalogue_is_what_the_databases_hold_after_the_main_job(goods, tmp_path):
    landing = tmp_path / "landing"
    deliver_files(invoice_files()[:1], landing)
    landed = LandingFolder(landing, quiet_seconds=0)
    orders, rewards = tmp_path / "orders.db", tmp_path / "rewards.db"
    before = catalogue(orders, rewards, landed, 17)
    Simulation(orders, rewards).advance(landed.files())
    after = catalogue(orders, rewards, landed, 17)
    assert {sku for sku, _ in before.products} == {sku for sku, _ in after.products}
    assert all(SKU.match(sku) and price > 0 for sku, price in after.products)
    assert set(before.customers) >= set(after.customers) > set()
    assert set(before.members) >= set(after.members) > set()
    # Before any file has landed, those of the sample that the project ships.
    assert goods == catalogue(tmp_path / "no.db", tmp_path / "no.db", LandingFolder(SAMPLE, 0), 17)
    with pytest.raises(SettingError, match=r"no topic 'pos' is simulated; use pos[.]events, web"):
        EventStream(17, START, RATE, goods, ["pos"])
