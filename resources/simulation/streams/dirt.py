"""Dirt: what goes wrong between a till or sensor and the event log. Nothing in an event tells it.

Belongs here: what happens to an event on its way. Does not: late events, wrong clocks and voids
that overtake what they void, which are true events (`encoding`, `tills`, `voids`).
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import Any

from resources.simulation.streams.chance import share

Fields = dict[str, Any]


class Dirt(StrEnum):
    """What may happen to an event."""

    repeated = "repeated"
    """Instead of a new event, one of the last seconds is sent again."""
    repeated_late = "repeated_late"
    """The same, an hour or more later."""
    contradicted = "contradicted"
    """Instead of a new event, one of the last seconds is sent with other content."""
    cut_off = "cut_off"
    """The end of the text is missing."""
    not_utf8 = "not_utf8"
    """The text holds bytes that are no UTF-8."""
    field_missing = "field_missing"
    """A field that every event has is missing."""
    wrong_type = "wrong_type"
    """A value is of a type that it cannot be."""
    empty = "empty"
    """A value that must be there is null or empty."""
    unknown_reference = "unknown_reference"
    """There is no such store, product or customer."""
    from_the_future = "from_the_future"
    """The clock is hours ahead."""
    unknown_field = "unknown_field"
    """There is a field more than events have."""
    written_otherwise = "written_otherwise"
    """A value is written in another way, but clear."""


PARTS: Mapping[Dirt, float] = {
    Dirt.repeated: 0.004,
    Dirt.repeated_late: 0.0003,
    Dirt.contradicted: 0.0005,
    Dirt.cut_off: 0.0005,
    Dirt.not_utf8: 0.0003,
    Dirt.field_missing: 0.0005,
    Dirt.wrong_type: 0.0005,
    Dirt.empty: 0.0005,
    Dirt.unknown_reference: 0.001,
    Dirt.from_the_future: 0.0002,
    Dirt.unknown_field: 0.002,
    Dirt.written_otherwise: 0.001,
}
"""The share that each has of all events."""

REPEATS = {
    Dirt.repeated: (1.0, 20.0),
    Dirt.repeated_late: (3600.0, 5400.0),
    Dirt.contradicted: (1.0, 20.0),
}
"""Those that send an earlier event instead of a new one, and how many seconds earlier."""

_BOUNDS = list(accumulate(share(part) for part in PARTS.values()))
_KINDS = list(PARTS)

DIRTY = _BOUNDS[-1]
"""The bound of the random number below which something happens to an event."""


def kind(number: int) -> Dirt:
    """What happens to an event, by its random number, which is below `DIRTY`."""
    return _KINDS[bisect_right(_BOUNDS, number)]


def damaged(what: Dirt, key: str, value: str, dice: Random) -> tuple[str, bytes]:
    """Key and value of an event after what happened to it."""
    raw = value.encode()
    if what is Dirt.cut_off:
        return key, raw[: dice.randrange(1, len(raw))]
    if what is Dirt.not_utf8:
        place = dice.randrange(len(raw))
        return key, raw[:place] + dice.choice([b"\xff", b"\xc3(", b"\xe2\x82"]) + raw[place:]
    fields = json.loads(value)
    key = _ALTER[what](_family(fields), fields, dice) or key
    return key, json.dumps(fields, separators=(",", ":")).encode()


def _family(fields: Fields) -> str:
    return "pos" if "lines" in fields else "web" if "session_id" in fields else "iot"


_NEEDED = {
    "pos": ["event_id", "type", "event_time", "store_id", "lines"],
    "web": ["event_id", "type", "event_time", "session_id"],
    "iot": ["event_id", "type", "event_time", "device_id", "value"],
}


def _contradict(family: str, fields: Fields, dice: Random) -> None:
    if family == "pos":
        fields["payment"] = "voucher" if fields["payment"] != "voucher" else "cash"
        for line in fields["lines"]:
            line["quantity"] *= 2
    elif family == "web":
        fields["device"] = f"{fields['device']} emulator"
    else:
        fields["value"] += 1


def _lose_field(family: str, fields: Fields, dice: Random) -> None:
    del fields[dice.choice(_NEEDED[family])]


def _change_type(family: str, fields: Fields, dice: Random) -> None:
    if family == "pos" and dice.random() < 0.5:
        fields["lines"][0]["quantity"] = "two"
    elif family == "iot" and dice.random() < 0.5:
        fields["value"] = "cold"
    else:
        fields["event_time"] = dice.choice(["yesterday", {"at": fields["event_time"]}])


def _empty(family: str, fields: Fields, dice: Random) -> None:
    name = dice.choice(_NEEDED[family])
    fields[name] = None if name in ("lines", "value") else dice.choice([None, ""])


def _refer_to_nothing(family: str, fields: Fields, dice: Random) -> str | None:
    if family == "pos" and dice.random() < 0.5:
        fields["lines"][0]["sku"] = dice.choice(["99999Z", "GIFT-404"])
        return None
    if family == "web":
        fields["customer_id"] = "99999999"
        return None
    fields["store_id"] = "S99"
    return f"S99/{fields['register']}" if family == "pos" else None


def _set_clock_ahead(family: str, fields: Fields, dice: Random) -> None:
    at = datetime.fromisoformat(fields["event_time"]) + timedelta(hours=dice.randrange(2, 48))
    fields["event_time"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _add_field(family: str, fields: Fields, dice: Random) -> None:
    fields |= dice.choice([{"software": {"name": family, "version": [4, 2]}}, {"test": False}])


def _write_otherwise(family: str, fields: Fields, dice: Random) -> None:
    if family == "pos":
        fields["lines"][0]["quantity"] = str(fields["lines"][0]["quantity"])
    elif family == "iot":
        fields["value"] = str(fields["value"])
    else:
        fields["event_time"] = fields["event_time"].replace("Z", "+00:00")


_ALTER: Mapping[Dirt, Callable[[str, Fields, Random], str | None]] = {
    Dirt.contradicted: _contradict,
    Dirt.field_missing: _lose_field,
    Dirt.wrong_type: _change_type,
    Dirt.empty: _empty,
    Dirt.unknown_reference: _refer_to_nothing,
    Dirt.from_the_future: _set_clock_ahead,
    Dirt.unknown_field: _add_field,
    Dirt.written_otherwise: _write_otherwise,
}
