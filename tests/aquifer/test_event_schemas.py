"""Event schemas: Avro from the contracts, and the history that a changed contract is held to."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from hypothesis import given, settings
from hypothesis import strategies as st

from aquifer import event_schemas
from aquifer.avro_events import BROKEN, HEADER, AvroReader, AvroTopics
from aquifer.avro_schema import avro_schema
from aquifer.bronze_events import EventTopic
from aquifer.column_types import COLUMN_TYPES
from aquifer.contract import Contract, Date, Field, Key, Money, Record, Timestamp, hours, table
from aquifer.errors import ContractError, SettingError
from aquifer.schema_compatibility import Compatibility, unreadable
from aquifer.silver_events import events

META = table(owner="team:sales", grain="an event", fresh_within=hours(1))


class Item(Record):
    """What was bought."""

    sku: str = Field()
    price: Money = Field(description="GBP")


class Bought(Contract):
    """Something bought."""

    id: str = Key(description="which")
    at: Timestamp = Field()
    day: Date | None = Field()
    count: int = Field(ge=1)
    how: str | None = Field(isin=["card", "cash"])
    items: list[Item] = Field()
    gifts: list[Item] | None = Field()
    tags: list[str] | None = Field()

    class Config:
        metadata = META


def test_the_avro_schema_of_a_contract():
    schema = avro_schema(Bought)
    parse_schema(schema)
    assert (schema["type"], schema["name"], schema["doc"]) == (
        "record",
        "Bought",
        "Something bought.",
    )
    fields = {field["name"]: field for field in schema["fields"]}
    assert fields["id"] == {"name": "id", "type": "string", "doc": "which"}
    assert fields["at"]["type"] == {"type": "long", "logicalType": "timestamp-micros"}
    nullable = {"type": ["null", {"type": "int", "logicalType": "date"}], "default": None}
    assert fields["day"] == {"name": "day", **nullable}
    assert fields["how"]["type"] == ["null", "string"]
    item = fields["items"]["type"]["items"]
    assert (item["name"], item["namespace"], item["doc"]) == ("Item", "items", "What was bought.")
    amount = {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4}
    assert item["fields"][1] == {"name": "price", "type": amount, "doc": "GBP"}
    assert fields["gifts"]["type"][1]["items"]["namespace"] == "gifts"
    assert fields["tags"]["type"] == ["null", {"type": "array", "items": "string"}]
    assert "default" not in fields["count"]


def test_a_name_that_avro_has_not_is_refused():
    class Size(Contract):
        """A size."""

        größe: str = Key()

        class Config:
            metadata = META

    with pytest.raises(ContractError, match="Size: Avro has no name 'größe'; use letters without"):
        avro_schema(Size)


def made(**fields: Any) -> type[Contract]:
    """A contract of these fields, by their annotations."""
    body = {"__doc__": "An event.", "__module__": "made", "__annotations__": {"id": str} | fields}
    config = type("Config", (), {"metadata": META})
    return type("Event", (Contract,), body | {"id": Key(), "Config": config})


def change(folder: Path, contract: type[Contract], rule: str, *, check: bool = False) -> None:
    """Bring the history of a topic with this contract and rule up to date."""
    compatibility = Compatibility(rule)
    topic = EventTopic(
        "bronze.e", contract, "events", "e", topic="e.v", compatibility=compatibility
    )
    table = events("e", contract, reads=topic)
    event_schemas.bring_up_to_date([table], folder, check=check)


def test_a_changed_contract_is_a_new_version_and_none_that_was_committed_changes(tmp_path):
    rule = "backward"
    change(tmp_path, made(count=int), rule)
    change(tmp_path, made(count=int), rule, check=True)
    first = {path.name: path.read_text() for path in (tmp_path / "e.v").iterdir()}
    assert first.keys() == {"v1.avsc", "v1.schema.json"}
    wider = made(count=float, note=str | None)
    with pytest.raises(SettingError, match=r"of e\.v are not current; run `aquifer event"):
        change(tmp_path, wider, rule, check=True)
    assert len([*(tmp_path / "e.v").iterdir()]) == 2
    change(tmp_path, wider, rule)
    now = {path.name: path.read_text() for path in (tmp_path / "e.v").iterdir()}
    assert now.keys() == first.keys() | {"v2.avsc", "v2.schema.json"}
    assert now.items() >= first.items()
    assert json.loads(now["v2.avsc"]) == avro_schema(wider)
    assert json.loads(now["v2.schema.json"])["properties"]["note"] == {"type": ["string", "null"]}
    # What a killed command has left is no version.
    (tmp_path / "e.v" / "v3.schema.json").write_text("half")
    change(tmp_path, wider, rule, check=True)


BOTH = made(count=int, note=str | None)


TEXT = str | None


@pytest.mark.parametrize(
    ("rule", "fields", "reason"),
    [
        ("backward", {"n": int, "s": str}, "s may be null in that version and not in the contract"),
        ("backward", {"n": str, "s": TEXT}, "n is long in that version and string in the contract"),
        ("backward", {"n": Timestamp, "s": TEXT}, "n is long in that version and timestamp-micros"),
        ("backward", {"n": Money, "s": TEXT}, r"n is long in that version and decimal\(18,4\) in"),
        ("backward", {"n": int, "m": int}, "m is needed in the contract and missing in that vers"),
        ("forward", {"s": TEXT}, "n is needed in that version and missing in the contract"),
        (
            "forward",
            {"n": float, "s": TEXT},
            "n is double in the contract and long in that version",
        ),
        ("full", {"s": TEXT}, "n is needed in that version and missing in the contract"),
        ("full", {"n": int, "m": int}, "m is needed in the contract and missing in that version"),
        ("backward", {}, None),
        ("forward", {"n": int, "s": TEXT, "m": int}, None),
        ("full", {"n": int}, None),
        ("full", {"n": int, "m": TEXT}, None),
    ],
)
def test_a_change_is_held_to_the_rule_of_its_topic(tmp_path, rule, fields, reason):
    change(tmp_path, made(n=int, s=TEXT), rule)
    if reason is None:
        change(tmp_path, made(**fields), rule)
    else:
        line = rf"^Event breaks '{rule}', the rule of e\.v, against v1: {reason}"
        with pytest.raises(ContractError, match=line):
            change(tmp_path, made(**fields), rule)
    assert len([*(tmp_path / "e.v").glob("*.avsc")]) == (2 if reason is None else 1)


def test_a_change_is_held_against_every_version(tmp_path):
    rule = "backward"
    change(tmp_path, made(count=int), rule)
    change(tmp_path, made(), rule)
    # The last version alone would allow it.
    with pytest.raises(ContractError, match="against v1: count is long in that version and string"):
        change(tmp_path, made(count=str | None), rule)


def test_what_a_list_holds_is_held_to_the_rule_too(tmp_path):
    def line(annotation: Any) -> type[Record]:
        body = {"__doc__": "A line.", "__module__": "made", "__annotations__": {"sku": annotation}}
        return type("Line", (Record,), body)

    change(tmp_path, made(lines=list[line(str | None)]), "full")
    with pytest.raises(ContractError, match=r"v1: lines\.sku may be null in that version and not"):
        change(tmp_path, made(lines=list[line(str)]), "full")


PLAIN = {"string": "a", "long": 3, "double": 2.5, "boolean": True}
LOGICAL = {
    str(type_.avro["logicalType"]): type_.avro
    for type_ in COLUMN_TYPES.values()
    if isinstance(type_.avro, dict) and "logicalType" in type_.avro
}
VALUES = PLAIN | {
    "decimal": Decimal("2.5500"),
    "timestamp-micros": datetime(2026, 3, 1, tzinfo=UTC),
    "date": date(2026, 3, 1),
}


def record(dice: Random, *, path: str = "", like: dict[str, Any] | None = None) -> dict[str, Any]:
    """A schema of the kinds that contracts have, which shares some fields with another."""
    shared = {field["name"]: field for field in like["fields"]} if like else {}
    fields = [
        shared[name]
        if name in shared and dice.random() < 0.7
        else field(dice, name, path, shared.get(name))
        for name in dice.sample("abcd", dice.randint(1, 4))
    ]
    return {"type": "record", "name": f"{path}R", "fields": fields}


def field(dice: Random, name: str, path: str, like: dict[str, Any] | None) -> dict[str, Any]:
    type_: Any = dice.choice([*PLAIN, *LOGICAL.values()])
    if not path and dice.random() < 0.4:
        other = items(like["type"]) if like else None
        type_ = {"type": "array", "items": record(dice, path=f"{name}.", like=other)}
    elif dice.random() < 0.2:
        type_ = {"type": "array", "items": type_}
    if dice.random() < 0.5:
        return {"name": name, "type": ["null", type_], "default": None}
    return {"name": name, "type": type_}


def items(type_: Any) -> dict[str, Any] | None:
    """The record in a list, if it is one."""
    listed = type_[1] if isinstance(type_, list) else type_
    held = listed.get("items") if isinstance(listed, dict) else None
    return held if isinstance(held, dict) and "fields" in held else None


def witness(schema: Any, null_from: int) -> Any:
    """A value of a schema, null where it may be in records nested so deep or deeper; 0: in all."""
    if isinstance(schema, list):
        return None if null_from < 0 else witness(schema[1], null_from)
    if isinstance(schema, str):
        return VALUES[schema]
    if schema["type"] == "record":
        fields = schema["fields"]
        return {field["name"]: witness(field["type"], null_from - 1) for field in fields}
    if schema["type"] == "array":
        return [witness(schema["items"], null_from)]
    return VALUES[schema["logicalType"]]


def reads(reader: Any, writer: Any) -> bool:
    """Whether fastavro reads with one schema what it has written with another."""
    for null_from in range(3):
        stream = BytesIO()
        schemaless_writer(stream, parse_schema(writer), witness(writer, null_from))
        stream.seek(0)
        try:
            schemaless_reader(stream, parse_schema(writer), parse_schema(reader))
        except (*BROKEN, SchemaResolutionError):
            return False
    return True


def test_what_is_compatible_is_read_by_a_reader_of_avro_and_nothing_else():
    dice, verdicts = Random(17), Counter()
    for _ in range(1_000):
        writer = record(dice)
        reader = record(dice, like=writer)
        broken = [*unreadable(reader, writer, "reader", "writer")]
        # Where the contract's types are others, Avro would read the bytes of one as the other.
        stricter = any(kind in reason for kind in LOGICAL for reason in broken)
        if not stricter:
            assert reads(reader, writer) == (not broken), broken
        verdicts["stricter" if stricter else not broken] += 1
        assert not [*unreadable(writer, writer, "reader", "writer")]
    assert min(verdicts[True], verdicts[False]) > 200


class Held:
    """A source of one schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def schema(self, number: int) -> dict[str, Any]:
        return self._schema

    def register(self, topic: str, schema: dict[str, Any]) -> int:
        return 1


@pytest.fixture
def far_away(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_what_json_says_is_what_avro_says_wherever_the_host_is():
    line = {"sku": "85123A", "price": "-0.0001"}
    event = {"id": "a", "at": "2026-03-01T08:26:00.5", "day": "2026-03-01", "count": 2}
    event |= {"items": [line, line | {"price": "12345678901234"}], "tags": ["é"], "gifts": None}
    unknown = {"software": {"name": "pos"}}
    values = [event | unknown, event | {"count": "2"}, {"id": "b"}, None]
    table = pa.table({"value": pa.array([json.dumps(value).encode() for value in values])})
    schema = avro_schema(Bought)
    written = AvroTopics.registered({"t": Bought}, Held(schema))("t", table)["value"].to_pylist()
    # What the schema cannot hold is as it was.
    assert written[1:] == table["value"].to_pylist()[1:]
    assert written[0][:5] == b"\0\0\0\0\1"
    told = json.loads(AvroReader(Held(schema)).read(written[0]).text)
    assert told == event | {
        "at": "2026-03-01 08:26:00.500000+00:00",
        "how": None,
        "items": [line, line | {"price": "12345678901234.0000"}],
    }


def test_types_that_contracts_do_not_have_are_told_all_the_same():
    types = {
        "rate": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 12},
        "icon": "bytes",
        "at": {"type": "long", "logicalType": "timestamp-millis"},
        "kind": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]},
        "more": {"type": "map", "values": "int"},
    }
    fields = [{"name": name, "type": type_} for name, type_ in types.items()]
    schema = {"type": "record", "name": "Foreign", "fields": fields}
    event = {"rate": Decimal(0), "icon": b"\0\xff", "at": datetime(2026, 3, 1, tzinfo=UTC)}
    stream = BytesIO()
    schemaless_writer(stream, parse_schema(schema), event | {"kind": "B", "more": {"a": 1}})
    told = AvroReader(Held(schema)).read(HEADER.pack(0, 1) + stream.getvalue())
    assert json.loads(told.text) == {
        "rate": "0.000000000000",
        "icon": "AP8=",
        "at": "2026-03-01 00:00:00+00:00",
        "kind": "B",
        "more": {"a": 1},
    }


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.integers(0, 60), st.sampled_from([1, 2]))
def test_whatever_the_bytes_are_an_event_is_read_or_refused(junk, place, null_from):
    schema = avro_schema(Bought)
    stream = BytesIO()
    schemaless_writer(stream, parse_schema(schema), witness(schema, null_from))
    payload = stream.getvalue()
    reader = AvroReader(Held(schema))
    told = reader.read(HEADER.pack(0, 1) + payload)
    assert json.loads(told.text)["items"] == [{"sku": "a", "price": "2.5500"}]
    spoilt = reader.read(HEADER.pack(0, 1) + payload[:place] + junk + payload[place + len(junk) :])
    assert (spoilt.text is None) == (spoilt.reason == "avro_unreadable")
    if spoilt.text is not None:
        json.loads(spoilt.text)
