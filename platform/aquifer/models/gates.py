"""Gates: what a model must pass before it is promoted, each with the reason why it did not.

Belongs here: the gates that all models share. Does not: how they block (`assets`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aquifer.models.evaluation import Floats, gain
from aquifer.models.model import (
    CALIBRATED,
    FAST,
    INPUTS,
    REPRODUCIBLE,
    SEGMENTS,
    SMALL,
    Limits,
)
from aquifer.models.scorer import NotFinite, Scorer

SINGLE_CALLS = 500
"""Rows that are scored one by one to measure the latency."""

LEAST_ROWS_OF_SEGMENT = 100
"""A segment of fewer rows says nothing."""

GATE = "gate."
"""What the tags of a version begin with that tell the verdict of a gate."""

PASSED, FAILED = "passed", "failed"
"""What the verdict begins with."""


@dataclass(frozen=True)
class Gate:
    """The verdict of a gate.

    Attributes:
        reason: what was found, beside what is asked for.
    """

    name: str
    passed: bool
    reason: str
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The verdict with its reason, as it stands on a version."""
        return f"{PASSED if self.passed else FAILED}: {self.reason}"


def better(name: str, than: str, reference: Floats, losses: Floats, groups: Sequence[str]) -> Gate:
    """Whether a model surely loses less than another."""
    found = gain(reference, losses, groups)
    return Gate(
        name,
        found.low > 0,
        f"gains {found} a row on {than}; the lower bound has to be above 0",
        {"gain": found.mean, "low": found.low, "high": found.high},
    )


def segments(
    reference: Floats,
    losses: Floats,
    segment: Sequence[str],
    groups: Sequence[str],
    limits: Limits,
) -> Gate:
    """Whether a model is in no segment surely worse than what it replaces, beyond a tolerance."""
    names, owners = np.asarray(segment, dtype=str), np.asarray(groups)
    allowed = reference * (1 + limits.segment_tolerance)
    ratios, worse = {}, []
    for name in np.unique(names):
        rows = names == name
        if rows.sum() >= LEAST_ROWS_OF_SEGMENT:
            ratios[str(name)] = float(losses[rows].mean() / max(reference[rows].mean(), 1e-12))
            if gain(allowed[rows], losses[rows], list(owners[rows])).high < 0:
                worse.append(str(name))
    found = ", ".join(f"'{name}' {ratio:.3f}" for name, ratio in sorted(ratios.items()))
    return Gate(
        SEGMENTS,
        not worse,
        f"of the loss before, the segments have {found or 'too few rows'}; surely more than "
        f"{1 + limits.segment_tolerance:.3f} is not allowed",
        ratios,
    )


def calibrated(error: float, limits: Limits) -> Gate:
    """Whether the error of calibration is small."""
    return Gate(
        CALIBRATED,
        error <= limits.calibration,
        f"the calibration error is {error:.4f}; {limits.calibration} is allowed",
        {"error": error},
    )


def cost(scorer: Scorer, size: int, matrix: np.ndarray, limits: Limits) -> Iterator[Gate]:
    """Whether a model scores a row fast enough, and is small enough."""
    rows = matrix[np.arange(SINGLE_CALLS) % len(matrix)]
    times = []
    for row in rows:
        # Of this thread alone, which does all the work: that others keep the processor from it is
        # no fault of the model.
        begun = time.thread_time()
        scorer.predict(row[np.newaxis])
        times.append(time.thread_time() - begun)
    p99 = float(np.quantile(times, 0.99) * 1000)
    yield Gate(
        FAST,
        p99 <= limits.latency_ms,
        f"one row takes {p99:.3f} ms of the processor at the 99th percentile; "
        f"{limits.latency_ms} is allowed",
        {"p99_ms": p99},
    )
    megabytes = size / 1e6
    yield Gate(
        SMALL,
        megabytes <= limits.megabytes,
        f"the graph has {megabytes:.2f} MB; {limits.megabytes} is allowed",
        {"megabytes": megabytes},
    )


def takes_inputs(scorer: Scorer, rows: Sequence[Mapping[str, Any]]) -> Gate:
    """Whether a model comes to numbers on rows without what may be null, and on new categories."""
    sparse = {
        each.name: None if each.nullable else ("\0 new" if each.categories is not None else 0)
        for each in scorer.inputs
    }
    new = {each.name: "\0 new" for each in scorer.inputs if each.categories is not None}
    tried = [sparse, *({**row, **new} for row in rows)]
    try:
        scorer.score(tried)
    except NotFinite as error:
        return Gate(INPUTS, False, str(error))
    return Gate(INPUTS, True, f"{len(tried)} rows of the contract's edges came to numbers")


def reproducible(found: Mapping[str, np.ndarray], again: Mapping[str, np.ndarray]) -> Gate:
    """Whether a second training has come to the same predictions."""
    apart = max(float(np.abs(found[name] - again[name]).max()) for name in found)
    return Gate(
        REPRODUCIBLE,
        apart == 0,
        f"a second training on the same data predicts the holdout {apart:.3g} apart",
        {"apart": apart},
    )
