"""Forecasting: how forecasters learn and are measured.

Belongs here: what they have in common, from examples to figures. Does not: which examples those are
(the model's module), and what a booster sees of them (`forecast_graph`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from lightgbm import Booster
from matplotlib.figure import Figure
from optuna.trial import Trial

from aquifer.features.online import entity_key
from aquifer.models import figures
from aquifer.models.evaluation import SEED, Floats
from aquifer.models.families import THREADS
from aquifer.models.forecast_graph import Layout, forecast_graph
from aquifer.models.forecaster import QUANTILES, Forecaster
from aquifer.models.learner import Fitted, Learner, Outputs
from aquifer.models.model import Model
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import (
    Part,
    Pinned,
    TrainingSet,
    inputs_of,
    joined,
    refuse_poor,
)
from aquifer.models.tuning import Choice, Tuning
from aquifer.runtime import Runtime

BOOSTING = "boosting"

SAMPLED = 4
"""Tuning learns from every n-th example: parameters that suit these suit all."""

LEAST_SCALE = 0.5
"""Of what an example's weight is divided by."""

HEAVIEST = 0.99
"""The quantile of weights above which no example weighs more."""


@dataclass(frozen=True)
class Forecasting(Learner):
    """The learner of a forecaster."""

    forecaster: Forecaster

    @property
    def model(self) -> Model:
        return self.forecaster

    @property
    def loss(self) -> str:
        return "scaled pinball"

    def training_set(self, runtime: Runtime, pinned: Pinned) -> TrainingSet:
        model = self.forecaster
        examples = pinned.with_tables(model.tables, model.examples)
        rows = joined(runtime, pinned, examples, model.features)
        inputs = [e for view, names in model.features.items() for e in inputs_of(view, names)]
        found = TrainingSet(rows, inputs, model.split, pinned.versions)
        refuse_poor(model.name, found, model.least_examples)
        return found

    def layout(self, data: TrainingSet) -> Layout:
        """Where things stand in the inputs."""
        model = self.forecaster
        places = {each.name: place for place, each in enumerate(data.inputs)}
        divided = {*model.history, *model.amounts}
        ahead = np.array([[places[known[w]] for known in model.ahead] for w in range(model.weeks)])
        known = {*ahead.ravel().tolist()}
        return Layout(
            places[model.level],
            np.array([name in divided for name in places]),
            ahead.reshape(model.weeks, len(model.ahead)),
            np.array([place for place in places.values() if place not in known]),
        )

    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        folds, layout = data.folds(), self.layout(data)

        def loss(_: str, parameters: Mapping[str, Any], fold: int) -> float:
            training, validation = folds[fold]
            boosters = self._learned(layout, _some(training), parameters)
            return float(self.losses_of(_forecast(boosters, layout, validation), validation).mean())

        return tuning.choose({BOOSTING: _suggest}, len(folds), loss)

    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        layout = self.layout(data)
        boosters = self._learned(layout, data.training, choice.parameters)
        graph = forecast_graph(boosters, layout, self.model.outputs)
        return Fitted(graph, boosters)

    def _learned(
        self, layout: Layout, part: Part, parameters: Mapping[str, Any]
    ) -> Sequence[Booster]:
        """A booster for each quantile of the ratio to the level; the same from the same."""
        model = self.forecaster
        level = np.tile(layout.levels(part.matrix)[:, 0], model.weeks)
        amounts = np.concatenate([part.label(f"week_{w}") for w in range(1, model.weeks + 1)])
        # A ratio weighs what its loss will: of the level, in terms of the scale.
        weight = level / np.maximum(np.tile(part.label("scale"), model.weeks), LEAST_SCALE)
        weight = np.minimum(weight, np.quantile(weight, HEAVIEST))
        settings = {**parameters, **FIXED}
        trees = settings.pop("trees")
        rows = lightgbm.Dataset(
            layout.seen(part.matrix),
            amounts / level,
            weight=weight / weight.mean(),
            params=settings,
        ).construct()
        return [
            lightgbm.train({**settings, "objective": "quantile", "alpha": q}, rows, trees)
            for q in QUANTILES
        ]

    def baseline(self, data: TrainingSet) -> Outputs:
        """The quantiles of the amounts of the past weeks, the same for each week to come."""
        past = self._past(data.holdout)
        found = np.nanquantile(past, QUANTILES, axis=1).T
        return self._named(np.repeat(found[:, np.newaxis], self.forecaster.weeks, axis=1))

    def losses(self, found: Outputs, part: Part) -> Floats:
        return self.losses_of(self.quantiles(found), part)

    def losses_of(self, quantiles: Floats, part: Part) -> Floats:
        """What quantiles cost, a row; shape of quantiles (rows, weeks, quantiles)."""
        mean = pinball(self.happened(part), quantiles).mean(axis=(1, 2))
        return np.asarray(mean / part.label("scale"), dtype=np.float64)

    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        happened, quantiles = self.happened(part), self.quantiles(found)
        low, median, high = np.moveaxis(quantiles, 2, 0)
        weeks = self.forecaster.weeks
        # The last week of the season that was like the week: a season is as long as what is asked.
        seasonal = self._past(part)[:, weeks - 1 :: -1][:, :weeks]
        seasonal = np.repeat(seasonal[:, :, np.newaxis], len(QUANTILES), axis=2)
        mase = float(self.scaled_errors(quantiles, part).mean())
        return {
            "mase": mase,
            "mase_for_seasonal_naive": mase / float(self.scaled_errors(seasonal, part).mean()),
            "pinball": float(pinball(happened, quantiles).mean()),
            "absolute_error": float(np.abs(happened - median).mean()),
            "below_p10": float((happened < low).mean()),
            "above_p90": float((happened > high).mean()),
            "total_for_actual": float(median.sum() / happened.sum()),
        }

    def scaled_errors(self, quantiles: Floats, part: Part) -> Floats:
        """The mean absolute error of the median in terms of the scale, a row; its mean is MASE."""
        median = quantiles[:, :, QUANTILES.index(0.5)]
        return np.asarray(np.abs(self.happened(part) - median).mean(axis=1) / part.label("scale"))

    def calibration(self, found: Outputs, part: Part) -> float:
        """How far the share above the highest quantile is from what it should be.

        What was ordered up to it runs out that often.
        """
        above = (self.happened(part) > self.quantiles(found)[:, :, -1]).mean()
        return float(abs(above - (1 - QUANTILES[-1])))

    def groups(self, part: Part) -> Sequence[str]:
        columns = (part.column(name) for name in self.model.entity)
        return [entity_key(values) for values in zip(*columns, strict=True)]

    def figures(self, fitted: Fitted, found: Outputs, data: TrainingSet) -> Mapping[str, Figure]:
        happened = self.happened(data.holdout)
        layout = self.layout(data)
        names = [data.inputs[place].name for place in layout.base]
        names += [known[0].rstrip("_0123456789") for known in self.forecaster.ahead]
        median = fitted.estimator[QUANTILES.index(0.5)]
        seen = layout.seen(data.holdout.matrix)
        drawn = {
            "coverage": figures.coverage(QUANTILES, self.quantiles(found), happened),
            "contributions": figures.contributions(median, seen, [*names, "week"]),
        }
        return {title: figure for title, figure in drawn.items() if figure}

    def forecast(self, scorer: Scorer, part: Part) -> Floats:
        """The quantiles that a version forecasts; shape (rows, weeks, quantiles)."""
        return self.quantiles(scorer.predict(part.matrix))

    def happened(self, part: Part) -> Floats:
        """The amounts that came; shape (rows, weeks)."""
        weeks = range(1, self.forecaster.weeks + 1)
        return np.column_stack([part.label(f"week_{week}") for week in weeks])

    def _past(self, part: Part) -> Floats:
        """The amounts of past weeks, the last one first; shape (rows, past weeks)."""
        return np.column_stack([part.label(name) for name in self.forecaster.history])

    def quantiles(self, found: Outputs) -> Floats:
        """Predictions in one array; shape (rows, weeks, quantiles)."""
        columns = [found[name] for name in self.model.outputs]
        shape = (-1, self.forecaster.weeks, len(QUANTILES))
        return np.column_stack(columns).astype(np.float64).reshape(shape)

    def _named(self, quantiles: Floats) -> Outputs:
        columns = quantiles.reshape(len(quantiles), -1).T
        return dict(zip(self.model.outputs, columns, strict=True))


FIXED: Mapping[str, Any] = {
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "seed": SEED,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": THREADS,
    "verbosity": -1,
}
"""What is not tuned."""


def pinball(happened: Floats, quantiles: Floats) -> Floats:
    """The pinball loss of quantiles, as large as the amounts are.

    Args:
        happened: shape (rows, weeks).
        quantiles: shape (rows, weeks, quantiles); so has the loss.
    """
    over = happened[:, :, np.newaxis] - quantiles
    levels = np.array(QUANTILES)
    return np.asarray(np.maximum(levels * over, (levels - 1) * over), dtype=np.float64)


def _forecast(boosters: Sequence[Booster], layout: Layout, part: Part) -> Floats:
    """What the graph of boosters says, without making one."""
    seen = layout.seen(part.matrix)
    ratios = np.stack([b.predict(seen, num_threads=THREADS) for b in boosters], axis=1)
    amounts = np.maximum(np.sort(ratios, axis=1), 0).reshape(layout.weeks, len(part), -1)
    return np.asarray(amounts.transpose(1, 0, 2) * layout.levels(part.matrix)[:, np.newaxis])


def _some(part: Part) -> Part:
    places = np.arange(0, len(part), SAMPLED)
    return Part(part.rows.take(places), part.matrix[places])


def _suggest(trial: Trial) -> Mapping[str, Any]:
    return {
        "trees": trial.suggest_int("trees", 40, 90),
        "learning_rate": trial.suggest_float("learning_rate", 0.06, 0.15, log=True),
        "num_leaves": trial.suggest_int("leaves", 8, 31, log=True),
        "min_data_in_leaf": trial.suggest_int("least_rows", 100, 400, log=True),
        "feature_fraction": trial.suggest_float("columns", 0.4, 0.9),
    }
