"""Figures of a model card: how good its predictions are, and what they rest on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from lightgbm import Booster, LGBMModel
from matplotlib.figure import Figure

from aquifer.models.evaluation import Floats

BINS = 10
MOST_FEATURES = 15
MOST_ROWS = 2000


def calibration(probability: np.ndarray, happened: Floats) -> Figure:
    """The share that happened beside the probability, over bins of equal size."""
    figure, axes = _figure("predicted probability", "share that happened")
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS)
    said = [probability[part].mean() for part in parts if len(part)]
    found = [happened[part].mean() for part in parts if len(part)]
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot(said, found, marker="o")
    return figure


def lift(probability: np.ndarray, happened: Floats) -> Figure:
    """How much more often it happens among the likeliest rows than among all."""
    figure, axes = _figure("share of rows, likeliest first", "lift")
    found = happened[np.argsort(-probability, kind="stable")]
    rows = np.arange(1, len(found) + 1)
    axes.plot(rows / len(found), np.cumsum(found) / rows / found.mean())
    axes.axhline(1, linestyle=":", color="grey")
    return figure


def coverage(levels: Sequence[float], quantiles: np.ndarray, happened: Floats) -> Figure:
    """The share at or below each quantile beside its level, a line a week.

    Args:
        quantiles: shape (rows, weeks, levels).
        happened: shape (rows, weeks).
    """
    figure, axes = _figure("quantile", "share at or below it")
    shares = (happened[:, :, np.newaxis] <= quantiles).mean(axis=0)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    for week, found in enumerate(shares, start=1):
        axes.plot(levels, found, marker="o", label=f"week {week}")
    axes.legend()
    return figure


def contributions(estimator: Any, matrix: np.ndarray, names: Sequence[str]) -> Figure | None:
    """The mean size of each feature's SHAP values; of LightGBM's trees alone."""
    if isinstance(estimator, LGBMModel):
        estimator = estimator.booster_
    if not isinstance(estimator, Booster):
        return None
    values = np.abs(estimator.predict(matrix[:MOST_ROWS], pred_contrib=True))[:, :-1].mean(axis=0)
    figure, axes = _figure("mean |SHAP value|", "")
    largest = np.argsort(values)[-MOST_FEATURES:]
    axes.barh([names[place] for place in largest], values[largest])
    return figure


def _figure(x: str, y: str) -> tuple[Figure, Any]:
    # Without pyplot, which keeps every figure that was ever drawn.
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def segments(matrix: np.ndarray, segment: np.ndarray, names: Sequence[str]) -> Figure:
    """The rows of each segment by the first input and the last."""
    figure, axes = _figure(names[0], names[-1])
    for name in np.unique(segment):
        rows = matrix[segment == name]
        axes.scatter(rows[:, 0], rows[:, -1], s=4, label=name)
    axes.set_xscale("symlog")
    axes.set_yscale("symlog")
    axes.legend()
    return figure


def recall(shares: Mapping[str, Sequence[float]]) -> Figure:
    """The share of what was wanted that is among the first 1, 2, ... shown, by who shows."""
    figure, axes = _figure("shown", "recall")
    for name, share in shares.items():
        axes.plot(range(1, len(share) + 1), share, marker="o", label=name)
    axes.legend()
    return figure
