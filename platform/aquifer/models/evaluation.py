"""Evaluation: how much better one model is than another on the same rows, and how surely.

Belongs here: what holds for the losses of any model. Does not: what a loss is (the model says so).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

SEED = 17
"""Of all that is drawn: the same data comes to the same model."""

SAMPLES = 2000
PRECISIONS = 500
"""Samples of what is summed up along all rows, which takes longer."""
CONFIDENCE = 0.95

BINS = 10
DRAWS = 100


@dataclass(frozen=True)
class Gain:
    """How much less one model loses than another, a row.

    Attributes:
        mean: the difference of the mean losses.
        low, high: the bounds between which it lies with `CONFIDENCE`.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4g} ({CONFIDENCE:.0%} from {self.low:+.4g} to {self.high:+.4g})"


def gain(reference: Floats, candidate: Floats, groups: Sequence[str]) -> Gain:
    """The gain of a candidate over a reference, from their losses on the same rows.

    The rows of a group, such as those of one customer, are drawn together: they are alike.
    """
    saved = reference - candidate
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group.max()) + 1
    sums = np.bincount(group, weights=saved, minlength=count)
    rows = np.bincount(group, minlength=count)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), SAMPLES)
    means = (drawn @ sums) / (drawn @ rows)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(saved.mean()), float(low), float(high))


def average_precision_bounds(
    probability: np.ndarray, happened: Floats, groups: Sequence[str]
) -> tuple[float, float]:
    """The bounds between which the average precision lies with `CONFIDENCE`.

    The rows of a group are drawn together, as in `gain`.
    """
    order = np.argsort(-probability, kind="stable")
    _, group = np.unique(np.asarray(groups)[order], return_inverse=True)
    # Rows of one probability are found together.
    ends = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    count, hits = int(group.max()) + 1, happened[order]
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), PRECISIONS)
    found = []
    for times in drawn:
        weights = times[group].astype(np.float64)
        rows, right = np.cumsum(weights)[ends], np.cumsum(weights * hits)[ends]
        if right[-1]:
            precision = right / np.maximum(rows, 1)
            found.append(float((np.diff(right, prepend=0) * precision).sum() / right[-1]))
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def calibration_error(probability: Floats, happened: Floats) -> float:
    """The expected calibration error, over equal bins, beyond what chance makes of it.

    Of few rows even true probabilities are far from the shares that happen: what is drawn from the
    probabilities themselves tells how far.
    """
    drawn = np.random.default_rng(SEED).random((DRAWS, len(probability))) < probability
    by_chance = np.mean([_error(probability, each) for each in drawn])
    return max(0.0, _error(probability, happened) - float(by_chance))


def _error(probability: Floats, happened: np.ndarray) -> float:
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS)
    apart = [len(p) * abs(probability[p].mean() - happened[p].mean()) for p in parts if len(p)]
    return float(sum(apart) / len(probability))
