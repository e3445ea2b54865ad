"""Scenarios: what may come, drawn from the quantiles of a forecast.

Belongs here: the distribution that quantiles stand for, and how entities and weeks hang together.
Does not: what is decided by scenarios (`newsvendor`).

Between quantiles, and from zero to the lowest, amounts are spread evenly; above the highest, they
fall off exponentially. Entities and weeks are joined by a Gaussian copula of one shared factor (a
good or bad month for all) and one of each entity, so that each week of an entity keeps the
distribution that was forecast.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from aquifer.models.evaluation import SEED, Floats
from aquifer.models.forecaster import QUANTILES

LEVELS = np.array([0.0, *QUANTILES])
TAIL = np.log((1 - LEVELS[-2]) / (1 - LEVELS[-1]))
"""How many of its means the exponential tail covers between the two highest quantiles."""

LEAST_SPREAD = 0.5
"""Of the two highest quantiles, in pieces: what was never sold may yet be."""

UTMOST = 1e-4
"""Probabilities nearer to 0 and 1 are not told apart."""


class Dependence(NamedTuple):
    """What has to do with what, as shares of the variance of normal scores.

    Attributes:
        shared: of what all entities have in common.
        own: of what the weeks of one entity have in common, beside that.
    """

    shared: float
    own: float


def dependence(quantiles: Floats, happened: Floats, origins: Sequence[Any]) -> Dependence:
    """How entities and weeks have hung together, by forecasts and what came of them.

    What all have in common is measured from what was forecast, not from its own mean: a forecast
    that is wrong for all in one direction counts.

    Args:
        quantiles: shape (rows, weeks, quantiles).
        happened: shape (rows, weeks).
        origins: when each row was forecast.
    """
    chance = np.random.default_rng(SEED).uniform(size=happened.shape)
    low, high = (probability(quantiles, happened + step) for step in (-0.5, 0.5))
    scores = ndtri(np.clip(low + (high - low) * chance, UTMOST, 1 - UTMOST))
    _, origin = np.unique(np.asarray(origins), return_inverse=True)
    counts = np.bincount(origin)
    means = np.bincount(origin, weights=scores.mean(axis=1)) / counts
    shared = min(float((means**2).mean() / (scores**2).mean()), 1.0)
    weeks = np.corrcoef((scores - means[origin, np.newaxis]).T)
    alike = float(weeks[np.triu_indices(len(weeks), 1)].mean())
    return Dependence(shared, max(alike, 0.0) * (1 - shared))


def totals(quantiles: Floats, joined: Dependence, count: int, seed: int) -> Iterator[Floats]:
    """Whole amounts of all weeks together, in `count` scenarios; each a column, some at once.

    Args:
        quantiles: shape (rows, weeks, quantiles).
    """
    rows, weeks, _ = quantiles.shape
    chance = np.random.default_rng(seed)
    rest = np.sqrt(max(1 - joined.shared - joined.own, 0.0))
    for begin in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - begin)
        common = np.sqrt(joined.shared) * chance.standard_normal(some)
        common = common + np.sqrt(joined.own) * chance.standard_normal((rows, some))
        total = np.zeros((rows, some))
        for week in range(weeks):
            score = common + rest * chance.standard_normal((rows, some))
            total += np.rint(amount(quantiles[:, week], ndtr(score)))
        yield total


AT_ONCE = 200
"""How many scenarios are drawn at once, for the memory."""


def amount(quantiles: Floats, probability: Floats) -> Floats:
    """The amounts that are not exceeded with probabilities.

    Args:
        quantiles: shape (rows, quantiles).
        probability: shape (rows, n); so has the result.
    """
    found = np.zeros_like(probability)
    for begin, end, low, high in _steps(quantiles):
        share = np.clip((probability - begin) / (end - begin), 0, 1)
        found += share * (high - low)[:, np.newaxis]
    beyond = np.clip((1 - probability) / (1 - LEVELS[-1]), UTMOST, 1)
    return np.asarray(found - _mean_excess(quantiles)[:, np.newaxis] * np.log(beyond))


def probability(quantiles: Floats, amounts: Floats) -> Floats:
    """The probabilities that amounts are not exceeded; the inverse of `amount`.

    Args:
        quantiles: shape (rows, weeks, quantiles).
        amounts: shape (rows, weeks); so has the result.
    """
    found = np.zeros_like(amounts)
    for begin, end, low, high in _steps(quantiles):
        width = high - low
        within = np.clip((amounts - low) / np.where(width > 0, width, 1), 0, 1)
        found += (end - begin) * np.where(width > 0, within, amounts >= high)
    over = np.maximum(amounts - quantiles[..., -1], 0) / _mean_excess(quantiles)
    return np.asarray(found + (1 - LEVELS[-1]) * -np.expm1(-over))


def _steps(quantiles: Floats) -> Iterator[tuple[float, float, Floats, Floats]]:
    """Each span between two levels, with the amounts at both."""
    at = [np.zeros(quantiles.shape[:-1]), *np.moveaxis(quantiles, -1, 0)]
    for place in range(len(QUANTILES)):
        yield LEVELS[place], LEVELS[place + 1], at[place], at[place + 1]


def _mean_excess(quantiles: Floats) -> Floats:
    """By how much the highest quantile is exceeded in the mean, if it is."""
    spread = quantiles[..., -1] - quantiles[..., -2]
    return np.asarray(np.maximum(spread, LEAST_SPREAD) / TAIL)
