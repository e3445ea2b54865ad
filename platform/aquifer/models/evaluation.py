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
CONFIDENCE = 0.95


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


def calibration_error(probability: Floats, happened: Floats, bins: int = 10) -> float:
    """The expected calibration error: how far probabilities are from shares, over equal bins."""
    order = np.argsort(probability, kind="stable")
    error = 0.0
    for part in np.array_split(order, bins):
        if len(part):
            error += len(part) * abs(probability[part].mean() - happened[part].mean())
    return float(error / len(probability))
