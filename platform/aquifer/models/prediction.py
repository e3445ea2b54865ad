"""Predictions as they are answered and told of, by the service and on the edge, in the same words.

It needs nothing but Python, as `aquifer model export` puts this file into each bundle. The events
are those of the topic `model.predictions`.
"""

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

SERVICE, SHADOW, EDGE = "service", "shadow", "edge"
"""Who made a prediction; nobody sees those of the shadow."""


def new_id() -> str:
    """A UUID of version 7, which grows with time."""
    chance = int.from_bytes(os.urandom(10), "big")
    bits = time.time_ns() // 1_000_000 << 80 | chance
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    digits = f"{bits:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def answer(
    model: str,
    version: str,
    entity: Mapping[str, Any] | None,
    event_time: str | None,
    outputs: Mapping[str, Any],
) -> dict[str, Any]:
    """What is answered who asked for a prediction, made now.

    Args:
        entity: whom it is about, if that was said.
        event_time: the instant at which features from the online store held, if any is.
    """
    return {
        "prediction_id": new_id(),
        "predicted_at": f"{datetime.now(UTC).replace(tzinfo=None).isoformat('T', 'microseconds')}Z",
        "model": model,
        "model_version": version,
        "found": True,
        "entity": entity,
        "event_time": event_time,
        "outputs": outputs,
    }


def event(
    answered: Mapping[str, Any],
    inputs: Mapping[str, Any],
    served_by: str,
    shadows: str | None = None,
) -> bytes:
    """An answer as an event.

    Args:
        inputs: what it was made from, by name.
        served_by: who made it.
        shadows: the id of the answer that a shadow is beside.
    """
    entity = answered["entity"]
    told = {
        "event_id": answered["prediction_id"],
        "event_time": answered["predicted_at"],
        "model": answered["model"],
        "model_version": answered["model_version"],
        "served_by": served_by,
        "shadows": shadows,
        "entity": None if entity is None else _text(entity),
        "features_at": answered["event_time"],
        "inputs": _text(inputs),
        "outputs": _text(answered["outputs"]),
    }
    return _text(told).encode()


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
