"""Events in Avro, in the wire format of Confluent's serializers.

Belongs here: from such a value to the JSON text that would otherwise have come, and back. Does not:
where schemas are found (`resources`), and which events are refused (`silver_events`).

A value is a magic byte 0, the id of the schema that wrote it in four bytes, and the event in Avro.
No JSON text begins with the magic byte.
"""

import json
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException, UnknownType

from aquifer.avro_schema import avro_schema
from aquifer.contract import Contract
from aquifer.schema_source import SchemaRegistry, SchemaSource, Told

HEADER = struct.Struct(">bI")
MAGIC = 0

UNKNOWN_SCHEMA = "avro_schema_unknown"
"""The reason of an event whose schema the registry does not have."""

UNREADABLE = "avro_unreadable"
"""The reason of an event that is not what its schema says."""

BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError)
"""What is raised by reading or writing what is not as its schema says."""


@dataclass
class AvroReader:
    """Reads events; of each schema it asks once, so it serves a batch and no more.

    Of a schema that is unknown now, the next batch may know.
    """

    schemas: SchemaSource
    _known: dict[int, Any] = field(default_factory=dict)

    def read(self, value: bytes) -> Told:
        """What an event says.

        Args:
            value: begins with the magic byte.
        """
        if len(value) < HEADER.size:
            return Told(None, UNREADABLE)
        _, number = HEADER.unpack_from(value)
        if number not in self._known:
            self._known[number] = self._parsed(number)
        schema = self._known[number]
        if isinstance(schema, Told):
            return schema
        stream = BytesIO(value)
        stream.seek(HEADER.size)
        try:
            event = schemaless_reader(stream, schema, None)
            text = json.dumps(event, default=_text, ensure_ascii=False, separators=(",", ":"))
        except BROKEN:
            return Told(None, UNREADABLE)
        return Told(None, UNREADABLE) if stream.read(1) else Told(text)

    def _parsed(self, number: int) -> Any:
        schema = self.schemas.schema(number)
        try:
            return Told(None, UNKNOWN_SCHEMA) if schema is None else parse_schema(schema)
        except (SchemaParseException, UnknownType):
            return Told(None, UNREADABLE)


@dataclass(frozen=True)
class AvroTopics:
    """Writes the JSON events of topics in Avro, of each by a schema and its id."""

    schemas: Mapping[str, tuple[Any, int]]

    @classmethod
    def registered(
        cls, contracts: Mapping[str, type[Contract]], registry: SchemaRegistry
    ) -> "AvroTopics":
        """By the contracts of topics, whose schemas are registered for it."""
        schemas = {topic: avro_schema(contract) for topic, contract in contracts.items()}
        return cls(
            {
                topic: (parse_schema(schema), registry.register(topic, schema))
                for topic, schema in schemas.items()
            }
        )

    def __call__(self, topic: str, events: pa.Table) -> pa.Table:
        """Events of a topic; those that its schema cannot hold stay as they are.

        Args:
            events: as `PRODUCED`.
        """
        schema, number = self.schemas[topic]
        header = HEADER.pack(MAGIC, number)
        values = [_written(value, schema, header) for value in events["value"].to_pylist()]
        place = events.column_names.index("value")
        return events.set_column(place, "value", pa.array(values, pa.binary()))


def _written(value: bytes, schema: Any, header: bytes) -> bytes:
    stream = BytesIO(header)
    stream.seek(len(header))
    try:
        schemaless_writer(stream, schema, _typed(schema, json.loads(value)))
    except BROKEN:
        return value
    return stream.getvalue()


def _typed(schema: Any, value: Any) -> Any:
    """A value of JSON as its Avro schema has it."""
    if isinstance(schema, list):
        (other,) = (member for member in schema if member != "null")
        return None if value is None else _typed(other, value)
    if isinstance(schema, str):
        return value
    if "fields" in schema:
        return {f["name"]: _typed(f["type"], value.get(f["name"])) for f in schema["fields"]}
    if schema["type"] == "array":
        return [_typed(schema["items"], item) for item in value]
    return _LOGICAL[schema["logicalType"]](value)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    # Else it would be taken for an instant of the host's time zone.
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_LOGICAL: Mapping[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "timestamp-micros": _instant,
    "date": date.fromisoformat,
}


def _text(value: Any) -> str:
    """A value that JSON has no word for, as it is written in an event."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return b64encode(value).decode() if isinstance(value, bytes) else str(value)
