"""Bronze from an event log: the events of one topic, each a JSON object that stands for good.

Belongs here: how an event's fields are found, and its row in the quarantine. Does not: reading the
log (`bronze_topics`), and which events are refused (`silver_events`).
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aquifer.bronze_topics import BYTES, TopicTable
from aquifer.contract import Contract, contract_fields
from aquifer.instants import micros
from aquifer.known_events import CONTENT_HASH
from aquifer.lake import SEQUENCE
from aquifer.schema_compatibility import Compatibility

EVENT_COLUMNS = ("_partition", "_offset", "_published_at", BYTES, SEQUENCE)
"""The columns of bronze that say where an event came from."""


@dataclass(frozen=True)
class EventTopic(TopicTable):
    """Events of one topic, as they were produced.

    Args:
        compatibility: what a change of the events' schema must not break.
    """

    compatibility: Compatibility = Compatibility.backward

    # Few enough that who is downstream need not wait for all that is behind.
    events_per_commit: int = 100_000

    def decoded(self, contract: type[Contract]) -> str:
        fields = ", ".join(
            f"`{field.name}` {field.type.unread}" for field in contract_fields(contract)
        )
        return (
            f"select event as raw, 'c' as _op, {', '.join(EVENT_COLUMNS)}, value as _raw, "
            f"xxhash64(coalesce(value, base64({BYTES}))) as {CONTENT_HASH} "
            f"from (select *, from_json(value, '{fields}') as event from received)"
        )

    def position(self, event: Mapping[str, Any]) -> str:
        """Where an event stands in the log, which makes it one."""
        return f"{self.topic}/{event['_partition']}/{event['_offset']}"

    def refused(self, event: Mapping[str, Any], reasons: Sequence[str]) -> dict[str, Any]:
        """The quarantine's row of an event, from `EVENT_COLUMNS` and `_raw`.

        Of a value that has no text, the record is its bytes in base64.
        """
        stray = event[BYTES] and b64encode(event[BYTES]).decode()
        origin = {name: event[name] for name in EVENT_COLUMNS}
        published = {"_published_at": micros(event["_published_at"]), BYTES: stray}
        return {
            "position": self.position(event),
            "source": self.topic,
            "reasons": [*reasons],
            "raw": stray if event["_raw"] is None else event["_raw"],
            "_origin": json.dumps(origin | published),
        }

    def fields_of(self, refused: Mapping[str, Any]) -> dict[str, str | None]:
        # Bytes that nobody has repaired are read again as they came.
        stray = json.loads(refused["_origin"])[BYTES]
        return {"value": None if refused["raw"] == stray else refused["raw"]}
