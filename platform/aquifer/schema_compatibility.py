"""Compatibility of event schemas: whether what one has written can be read by another.

Belongs here: Avro's rules of schema resolution, for the schemas that contracts have. Does not:
which versions are compared (`event_schemas`).

Stricter than Avro where that compares only how values are encoded: a decimal is no text, and a day
no instant, though Avro would read the bytes of one as the other.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from aquifer.schema_source import Schema

PROMOTED = ("long", "double")
"""The one kind that contracts have and that is read as another, the writer's first."""


class Compatibility(StrEnum):
    """What a new version of a topic's schema must not break; it is held against every version
    before it, as a log and a table keep events of all of them ("transitive")."""

    backward = "backward"
    """Who has the new version can read what was written with the others."""
    forward = "forward"
    """Who has another version can read what is written with the new one."""
    full = "full"
    """Both."""


def incompatibilities(new: Schema, old: Schema, rule: Compatibility) -> Iterator[str]:
    """What of a new version breaks a rule against an older one, each with the field's name."""
    if rule is not Compatibility.forward:
        yield from unreadable(new, old, "the contract", "that version")
    if rule is not Compatibility.backward:
        yield from unreadable(old, new, "that version", "the contract")


def unreadable(
    reader: Schema, writer: Schema, reads: str, writes: str, path: str = ""
) -> Iterator[str]:
    """What a reader cannot read of all that a writer may have written.

    Args:
        reads: what the reader's schema is called.
        writes: what the writer's schema is called.
        path: where in the event the two schemas stand; empty: they are the event's.
    """
    (reads_null, read), (writes_null, written) = _apart(reader), _apart(writer)
    kinds = _kind(written), _kind(read)
    if writes_null and not reads_null:
        yield f"{path} may be null in {writes} and not in {reads}"
    if kinds == ("array", "array"):
        yield from unreadable(read["items"], written["items"], reads, writes, path)
    elif kinds[0] == kinds[1]:
        yield from _unreadable_fields(read, written, reads, writes, path)
    elif kinds != PROMOTED:
        yield f"{path or 'an event'} is {kinds[0]} in {writes} and {kinds[1]} in {reads}"


def _unreadable_fields(
    reader: Any, writer: Any, reads: str, writes: str, path: str
) -> Iterator[str]:
    written = {field["name"]: field["type"] for field in _fields(writer)}
    for field in _fields(reader):
        name = f"{path}.{field['name']}" if path else field["name"]
        if field["name"] in written:
            yield from unreadable(field["type"], written[field["name"]], reads, writes, name)
        elif "default" not in field:
            yield f"{name} is needed in {reads} and missing in {writes}"


def _apart(schema: Schema) -> tuple[bool, Any]:
    """Whether a value may be null, and the schema of one that is not."""
    if isinstance(schema, list):
        (other,) = (member for member in schema if member != "null")
        return True, other
    return False, schema


def _kind(schema: str | Mapping[str, Any]) -> str:
    """What a value is: values of one kind are read as they were written."""
    if isinstance(schema, str):
        return schema
    if schema["type"] == "record":
        return f"record {schema['name']}"
    if schema.get("logicalType") == "decimal":
        return f"decimal({schema['precision']},{schema['scale']})"
    return str(schema.get("logicalType", schema["type"]))


def _fields(schema: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fields of a record; of what is none, none."""
    return [] if isinstance(schema, str) else schema.get("fields", [])
