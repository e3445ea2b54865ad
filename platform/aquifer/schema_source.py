"""Schemas of binary events: where they are found, and what comes of reading an event with one.

Belongs here: the interfaces. Does not: the wire format (`avro_events`), a registry (`resources`).
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Schema = str | dict[str, Any] | list[Any]
"""An Avro schema, as JSON has it."""


class SchemaSource(Protocol):
    """Where the schemas of events are found."""

    def schema(self, number: int) -> Schema | None:
        """The Avro schema of an id; None if there is none.

        Raises:
            PassingError: it cannot be told now.
        """
        ...


@runtime_checkable
class SchemaRegistry(SchemaSource, Protocol):
    """Where they are also registered."""

    def register(self, topic: str, schema: Schema) -> int:
        """The id of the schema of a topic's events, which has one from now on."""
        ...


@dataclass(frozen=True)
class Told:
    """What an event says, as JSON text, or the reason why that cannot be told."""

    text: str | None
    reason: str | None = None
