"""The texts of events: JSON as it was received, or what an event in Avro says.

Belongs here: bringing binary events into the shape in which all others are read. Does not: the wire
format (`avro_events`), reading the text (`conform`).
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.bronze_events import EVENT_COLUMNS
from aquifer.bronze_topics import BYTES, NUL
from aquifer.schema_source import SchemaSource

Unread = tuple[dict[str, Any], str]
"""An event of which nothing can be told, from `EVENT_COLUMNS`, and the reason."""


class EventTexts:
    """The texts of the events of one batch.

    Args:
        schemas: of binary events; without, an event that is no text has none.
    """

    def __init__(self, schemas: SchemaSource | None) -> None:
        self._reader = None
        if schemas is not None:
            # Imported here, as what it needs is an extra.
            from aquifer.avro_events import AvroReader

            self._reader = AvroReader(schemas)

    def of(self, event: Mapping[str, Any]) -> str | None:
        """The text of a row of bronze; None if it has none."""
        text, value = event["value"], event[BYTES]
        binary = text is None and value is not None and value.startswith(NUL)
        return self._reader.read(value).text if self._reader and binary else text

    def read(self, received: pa.Table) -> tuple[pa.Table, list[Unread]]:
        """Rows of bronze with the texts of the binary ones, but for those that cannot be read."""
        if self._reader is None:
            return received, []
        # What begins with the magic byte, and has no text yet.
        starts = pc.fill_null(pc.starts_with(received[BYTES], NUL), False)
        binary = pc.and_(pc.is_null(received["value"]), starts).combine_chunks()
        if not pc.any(binary).as_py():
            return received, []
        told = [self._reader.read(value) for value in received[BYTES].filter(binary).to_pylist()]
        unread = received.filter(binary).filter(pa.array([each.text is None for each in told]))
        reasons = (each.reason for each in told if each.reason)
        texts = pa.array([each.text for each in told], pa.string())
        values = pc.replace_with_mask(received["value"], binary, texts)
        place = received.column_names.index("value")
        readable = pc.or_(pc.invert(binary), pc.is_valid(values))
        read = received.set_column(place, "value", values).filter(readable)
        return read, [*zip(unread.select(EVENT_COLUMNS).to_pylist(), reasons, strict=True)]
