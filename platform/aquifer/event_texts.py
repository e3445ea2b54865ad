"""The texts of events: JSON as it was received, or what an event in Avro says.

Belongs here: bringing binary events into the shape in which all others are read. Does not: the wire
format (`avro_events`), reading the text (`conform`).
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from aquifer.bronze_events import EVENT_COLUMNS
from aquifer.bronze_topics import BYTES, NUL
from aquifer.runtime import Runtime

BINARY = f"value is null and coalesce({BYTES} < x'01', false)"
"""SQL that an event begins with the magic byte, and has no text yet."""

Unread = tuple[dict[str, Any], str]
"""An event of which nothing can be told, from `EVENT_COLUMNS`, and the reason."""


class EventTexts:
    """The texts of the events of one batch.

    Args:
        runtime: whose `schemas` are those of binary events; without, an event that is no text has
            none.
        place: scratch space of the batch.
    """

    def __init__(self, runtime: Runtime, place: str) -> None:
        self._runtime, self._place = runtime, place
        self._reader = None
        if runtime.schemas is not None:
            # Imported here, as what it needs is an extra.
            from aquifer.avro_events import AvroReader

            self._reader = AvroReader(runtime.schemas)

    def of(self, event: Mapping[str, Any]) -> str | None:
        """The text of a row of bronze; None if it has none."""
        text, value = event["value"], event[BYTES]
        binary = text is None and value is not None and value.startswith(NUL)
        return self._reader.read(value).text if self._reader and binary else text

    def read(self, received: DataFrame) -> tuple[DataFrame, list[Unread]]:
        """Rows of bronze with the texts of the binary ones, but for those that cannot be read."""
        if self._reader is None:
            return received, []
        binary = received.where(BINARY).select(*EVENT_COLUMNS).toArrow()
        if not len(binary):
            return received, []
        told = [self._reader.read(value) for value in binary[BYTES].to_pylist()]
        texts = pa.array([each.text for each in told], pa.string())
        reasons = (each.reason for each in told if each.reason)
        unread = [*zip(binary.filter(pc.is_null(texts)).to_pylist(), reasons, strict=True)]
        read = binary.append_column("value", texts).filter(pc.is_valid(texts))
        others = received.where(f"not ({BINARY})").select(*EVENT_COLUMNS, "value")
        return others.unionByName(self._runtime.hand_over(read, self._place, "texts")), unread
