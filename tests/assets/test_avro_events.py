"""Events in Avro: as those in JSON from the event log to silver, whatever is wrong with them."""

import json
import signal
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dagster import Failure, materialize
from fastavro import parse_schema, schemaless_writer
from registry import Registry, serving
from worlds import SILVER, Streams

from aquifer import cli
from aquifer.assets import permanent_errors_fail_at_once, silver_asset
from aquifer.avro_events import HEADER, AvroTopics
from aquifer.avro_schema import avro_schema
from aquifer.errors import SettingError
from aquifer.eventlog import PRODUCED
from aquifer.replay import replay, replay_job
from assets import tables
from resources import environment
from resources.event_log.embedded import EmbeddedEventLog
from resources.schema_registry import ConfluentRegistry

TOPICS = ("pos.events", "pos.verdicts", "web.events", "mobile.events", "iot.readings")
CONTRACTS = {
    table.reads.topic: table.contract for table in tables.events if table.reads.topic in TOPICS
}
READINGS = SILVER["silver.iot_readings"]
START = datetime(2026, 3, 1, 8, 26, tzinfo=UTC)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as registry:
        yield registry


class Avro(Streams):
    """A world whose events may be in Avro."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        super().__init__(folder)
        self.client = ConfluentRegistry(registry.url)
        self.runtime = replace(self.runtime, schemas=self.client)

    def refused(self) -> dict[str, list[str]]:
        """Of each refused reading that waits, by its raw record, the reasons."""
        rows = self.rows(f"{READINGS.name}_quarantine")
        return {row["raw"]: row["reasons"] for row in rows if row["replayed_at"] is None}

    def ids(self) -> set[str]:
        return {row["event_id"] for row in self.rows(READINGS.name)}


@pytest.fixture
def world(tmp_path: Path, registry: Registry) -> Avro:
    return Avro(tmp_path, registry)


def reading(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "type": "temperature",
        "event_time": START,
        "sent_at": START,
        "store_id": "S01",
        "device_id": "S01-freezer-1",
        "value": -20.5,
        "unit": None,
    } | fields


def framed(number: int, schema: dict[str, Any], event: dict[str, Any]) -> bytes:
    stream = BytesIO()
    schemaless_writer(stream, parse_schema(schema), event)
    return HEADER.pack(0, number) + stream.getvalue()


SCHEMA = avro_schema(CONTRACTS["iot.readings"])


def test_simulated_events_in_avro_reach_silver_as_those_in_json_do(tmp_path, registry):
    settings = {"AQUIFER_HOME": str(tmp_path), "AQUIFER_SCHEMA_REGISTRY": registry.url}
    wired = environment.resources(settings)
    simulation = wired["simulation"]
    events = dict(simulation.live(START, 1_000).batch(0, 3_000).events)
    audited = simulation.live(START, 10, fraud="usual").batch(0, 3_000).events
    events["pos.verdicts"] = audited["pos.verdicts"]
    in_avro = AvroTopics.registered(CONTRACTS, wired["schemas"])
    assert sorted(registry.subjects.values()) == sorted(f"{topic}-value" for topic in TOPICS)
    found = []
    for encoded in (in_avro, lambda _, events: events):
        world = Streams(tmp_path / str(len(found)))
        world.runtime = replace(world.runtime, schemas=wired["schemas"])
        for topic in TOPICS:
            world.log.create_topic(topic)
            written = encoded(topic, events[topic])
            binary = sum(value.startswith(b"\0") for value in written["value"].to_pylist())
            assert binary > 0.98 * len(written) if encoded is in_avro else binary == 0
            world.log.produce(topic, written)
            assert world.take_in(topic).accounted
        names = [f"silver.{topic.replace('.', '_')}" for topic in TOPICS]
        refused = [row for name in names for row in world.rows(f"{name}_quarantine")]
        reasons = sorted((row["position"], row["reasons"]) for row in refused)
        found.append((world.content(*names), reasons))
    assert found[0] == found[1]
    content, reasons = found[0]
    assert len(content["silver.pos_events"]) > 1_000
    assert reasons
    # Each schema was asked for once, by whichever advance needed it first.
    assert len([asked for asked in registry.asked if asked.startswith("GET")]) == len(TOPICS)


def test_each_event_is_read_by_the_schema_that_wrote_it(world, registry):
    registry.add(SCHEMA, 7)
    fields = [{"name": "firmware", "type": "bytes"}, *SCHEMA["fields"][:-1]]
    registry.add(SCHEMA | {"fields": fields}, 8)
    later = reading("later", firmware=b"\1\2", value=1.5)
    world.produce(
        "iot.readings",
        framed(7, SCHEMA, reading("first", unit="C")),
        framed(8, registry.held(8), later),
        json.dumps(reading("plain", event_time=str(START), sent_at=str(START))).encode(),
    )
    tombstone = {"key": b"S01-freezer-1", "value": None, "timestamp": START}
    world.log.produce("iot.readings", pa.Table.from_pylist([tombstone], PRODUCED))
    advanced = world.take_in("iot.readings")
    assert (advanced.rows_in, advanced.kept, advanced.quarantined) == (4, 3, 1)
    rows = {row["event_id"]: row for row in world.rows(READINGS.name)}
    assert {name: (row["unit"], row["value"]) for name, row in rows.items()} == {
        "first": ("C", -20.5),
        "later": (None, 1.5),
        "plain": (None, -20.5),
    }
    assert {row["event_time"] for row in rows.values()} == {START}


def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_until_it_can(world, registry):
    registry.add(SCHEMA, 1)
    registry.add({"type": "record", "name": "Broken", "fields": "none"}, 3)
    registry.add('syntax = "proto3";', 4, schemaType="PROTOBUF")
    good = framed(1, SCHEMA, reading("good"))
    unknown = framed(2, SCHEMA, reading("unknown"))
    broken = [good[:-3], good + b"\0", good[:4], framed(3, SCHEMA, reading("x")), b"\0" * 5]
    foreign = framed(4, SCHEMA, reading("y"))
    world.produce("iot.readings", good, unknown, foreign, *broken)
    advanced = world.take_in("iot.readings")
    assert (advanced.rows_in, advanced.kept, advanced.quarantined) == (8, 1, 7)
    reasons = {b64encode(value).decode(): ["avro_unreadable"] for value in broken[:-1]}
    for value in (unknown, foreign, broken[-1]):
        reasons[b64encode(value).decode()] = ["avro_schema_unknown"]
    assert world.refused() == reasons
    assert replay(READINGS, world.runtime, {}).taken_in == 0
    assert world.refused() == reasons
    registry.add(SCHEMA, 2)
    done = replay(READINGS, world.runtime, {})
    assert (done.taken_in, done.refused) == (1, 6)
    assert world.ids() == {"good", "unknown"}
    # An event that comes again is the one that was replayed.
    world.produce("iot.readings", unknown)
    assert world.take_in("iot.readings").duplicates == 1


def test_while_the_registry_is_down_events_wait_and_nothing_is_lost(world, registry):
    registry.add(SCHEMA, 1)
    world.produce("iot.readings", framed(1, SCHEMA, reading("a")), b"no JSON")
    registry.down()
    unreachable = r"the schema registry at http\S+ cannot be reached \(ConnectionError\), and"
    with pytest.raises(Failure, match=unreachable) as failure, permanent_errors_fail_at_once():
        world.take_in("iot.readings")
    assert failure.value.allow_retries
    assert world.rows(READINGS.reads.name)
    assert not world.rows(f"{READINGS.name}_quarantine")
    registry.up()
    advanced = world.take_in("iot.readings")
    assert (advanced.rows_in, advanced.kept, advanced.quarantined) == (2, 1, 1)
    registry.down()
    # A schema that is known is not asked for again.
    world.produce("iot.readings", framed(1, SCHEMA, reading("b")))
    assert world.take_in("iot.readings").kept == 1
    registry.up()


def test_a_value_in_avro_that_happens_to_be_utf8_is_read_as_avro(world, registry):
    registry.add(SCHEMA, 1)
    early = datetime(1970, 1, 1, tzinfo=UTC)
    value = framed(1, SCHEMA, reading("a", event_time=early, sent_at=early, value=0.0))
    assert value.decode()
    for others in ([], [b"\xff"]):
        world.produce("iot.readings", value, *others)
        assert world.take_in("iot.readings").accounted
    assert world.ids() == {"a"}
    received = world.rows(READINGS.reads.name)
    assert sorted(row["_bytes"] for row in received) == [value, value, b"\xff"]
    assert {row["value"] for row in received} == {None}


def test_an_event_in_avro_that_the_contract_refuses_is_mended_as_text(world, registry):
    registry.add(SCHEMA, 1)
    world.produce("iot.readings", framed(1, SCHEMA, reading("a", type="smell")))
    assert world.take_in("iot.readings").quarantined == 1
    ((raw, reasons),) = world.refused().items()
    assert reasons == ["type_isin"]
    (refused,) = world.rows(f"{READINGS.name}_quarantine")
    mended = json.dumps(json.loads(raw) | {"type": "door"})
    assert replay(READINGS, world.runtime, {refused["position"]: mended}).taken_in == 1
    assert [row["type"] for row in world.rows(READINGS.name)] == ["door"]


def test_contents_in_avro_that_contradict_each_other_are_kept_as_text(world, registry):
    registry.add(SCHEMA, 1)
    values = (1.0, 2.0, 3.0)
    for value in values:
        world.produce("iot.readings", framed(1, SCHEMA, reading("a", value=value)))
        assert world.take_in("iot.readings").accounted
    (held,) = world.rows(READINGS.name)
    assert {*map(tuple, world.refused().values())} == {("conflicting_content",)}
    refused = {json.loads(raw)["value"] for raw in world.refused()}
    assert refused == {*values} - {held["value"]}
    former = {json.loads(text)["value"] for text in held["_former"] or []}
    assert former <= refused
    assert former or held["value"] == values[0]


def test_without_a_registry_an_event_in_avro_is_a_dead_letter_that_waits_for_one(world, registry):
    registry.add(SCHEMA, 1)
    value = framed(1, SCHEMA, reading("a"))
    world.produce("iot.readings", value)
    READINGS.reads.advance(world.lake, world.log)
    wired = {"lake": world.lake_resource, "engine": world.engine, "schemas": None}
    assert materialize([silver_asset(READINGS)], resources=wired).success
    assert world.refused() == {b64encode(value).decode(): ["json_unreadable"]}
    wired["schemas"] = world.client
    config = {"ops": {"replay_refused_rows": {"config": {"table": READINGS.name}}}}
    job = replay_job([READINGS])
    assert job.execute_in_process(config, resources=wired).success
    assert world.ids() == {"a"}
    world.produce("iot.readings", framed(1, SCHEMA, reading("b")))
    READINGS.reads.advance(world.lake, world.log)
    assert materialize([silver_asset(READINGS)], resources=wired).success
    assert world.ids() == {"a", "b"}


def test_the_command_simulates_events_in_avro_given_a_registry(
    tmp_path, registry, monkeypatch, capsys
):
    monkeypatch.setenv("AQUIFER_HOME", str(tmp_path))
    monkeypatch.delenv("AQUIFER_SCHEMA_REGISTRY", raising=False)
    # The command would catch this process's own.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    asked = partial(cli.simulate, 100, 0.005, topic=["pos.events"], format=cli.EventFormat.avro)
    with pytest.raises(SettingError, match="--format avro needs AQUIFER_SCHEMA_REGISTRY"):
        asked()
    monkeypatch.setenv("AQUIFER_SCHEMA_REGISTRY", registry.url)
    asked()
    assert capsys.readouterr().out.startswith("30 events sent, 30 to pos.events")
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        values = log.read("pos.events", dict.fromkeys(range(10), 0), 100)["value"].to_pylist()
    ids = {HEADER.unpack_from(value)[1] for value in values if value.startswith(b"\0")}
    assert [registry.subjects[number] for number in ids] == ["pos.events-value"]
