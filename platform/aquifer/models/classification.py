"""Classification: how classifiers learn and are measured.

Belongs here: what they have in common, from examples to figures. Does not: which examples those are
(the model's module), and what tuning chooses among (`families`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from aquifer.features.online import entity_key
from aquifer.models import figures
from aquifer.models.classifier import PROBABILITY, Classifier
from aquifer.models.errors import TrainingError
from aquifer.models.evaluation import Floats, average_precision_bounds, calibration_error
from aquifer.models.families import FAMILIES, learned
from aquifer.models.learner import Fitted, Learner, Outputs
from aquifer.models.model import Model
from aquifer.models.scorer import Input
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

LABEL = "label"


@dataclass(frozen=True)
class Classification(Learner):
    """The learner of a classifier."""

    classifier: Classifier

    @property
    def model(self) -> Model:
        return self.classifier

    @property
    def loss(self) -> str:
        return "log loss"

    def training_set(self, runtime: Runtime, pinned: Pinned) -> TrainingSet:
        model = self.classifier
        with runtime.staging() as place:
            examples, inputs = self.examples(runtime, pinned, place)
            rows = joined(runtime, pinned, examples, model.features)
        if not len(rows):
            raise TrainingError(
                f"{model.name} has no example at all: {' and '.join(model.tables)} hold none whose "
                "label is known; let events and what labels are made from come in first"
            )
        found = TrainingSet(rows, inputs, model.split, pinned.versions)
        refuse_poor(model.name, found, model.least_examples)
        for part in (found.training, found.holdout):
            happened = part.label(LABEL)
            if happened.min() == happened.max():
                raise TrainingError(
                    f"{model.name} would learn from examples that are all of one class "
                    f"({int(happened[0])}); look at what its labels are made from"
                )
        return found

    def examples(self, runtime: Runtime, pinned: Pinned, place: str) -> tuple[str, list[Input]]:
        """SQL of the examples before features of views are joined, and all inputs.

        Args:
            place: of `Runtime.staging()`.
        """
        views = self.classifier.features.items()
        inputs = [each for view, names in views for each in inputs_of(view, names)]
        return pinned.with_tables(self.classifier.tables, self.classifier.examples), inputs

    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        folds = data.folds()
        if not folds:
            raise TrainingError(
                f"{self.model.name} has nothing to validate on: its examples before the holdout "
                f"span no more than {data.split.holdout.days} days; wait for more"
            )

        def loss(family: str, parameters: Mapping[str, Any], fold: int) -> float:
            training, validation = folds[fold]
            estimator = learned(family, parameters, training.matrix, training.label(LABEL))
            found = {PROBABILITY: estimator.predict_proba(validation.matrix)[:, 1]}
            return float(self.losses(found, validation).mean())

        suggest = {name: FAMILIES[name].suggest for name in self.classifier.families}
        return tuning.choose(suggest, len(folds), loss)

    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        part = data.training
        estimator = learned(choice.family, choice.parameters, part.matrix, part.label(LABEL))
        return Fitted(FAMILIES[choice.family].graph(estimator, len(data.inputs)), estimator)

    def threshold(self, data: TrainingSet, choice: Choice) -> float | None:
        alerts = self.classifier.alerts
        if alerts is None:
            return None
        # What a model says of what it has learned from is surer than what it will say.
        learned_from, validation = data.folds()[-1]
        labels = learned_from.label(LABEL)
        estimator = learned(choice.family, choice.parameters, learned_from.matrix, labels)
        said = estimator.predict_proba(validation.matrix)[:, 1]
        return float(np.quantile(said, 1 - alerts))

    def baseline(self, data: TrainingSet) -> Outputs:
        return {PROBABILITY: self.classifier.rule(data.training, data.holdout)}

    def losses(self, found: Outputs, part: Part) -> Floats:
        probability = np.clip(found[PROBABILITY].astype(np.float64), 1e-6, 1 - 1e-6)
        right = np.where(part.label(LABEL) == 1, probability, 1 - probability)
        return np.asarray(-np.log(right), dtype=np.float64)

    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        happened, probability = part.label(LABEL), found[PROBABILITY]
        low, high = average_precision_bounds(probability, happened, self.groups(part))
        return {
            "roc_auc": float(roc_auc_score(happened, probability)),
            "average_precision": float(average_precision_score(happened, probability)),
            "average_precision_low": low,
            "average_precision_high": high,
            **self._among_alerts(happened, probability),
            "brier": float(brier_score_loss(happened, probability)),
            "base_rate": float(happened.mean()),
        }

    def _among_alerts(self, happened: Floats, probability: np.ndarray) -> dict[str, float]:
        """How good the likeliest rows are, as many as there may be alerts."""
        if self.classifier.alerts is None:
            return {}
        count = max(1, round(self.classifier.alerts * len(happened)))
        found = happened[np.argsort(-probability, kind="stable")[:count]].sum()
        return {
            "precision_of_alerts": float(found / count),
            "recall_of_alerts": float(found / happened.sum()),
        }

    def calibration(self, found: Outputs, part: Part) -> float:
        return calibration_error(found[PROBABILITY], part.label(LABEL))

    def groups(self, part: Part) -> Sequence[str]:
        columns = (part.column(name) for name in self.classifier.drawn or self.model.entity)
        return [entity_key(values) for values in zip(*columns, strict=True)]

    def figures(self, fitted: Fitted, found: Outputs, data: TrainingSet) -> Mapping[str, Figure]:
        happened = data.holdout.label(LABEL)
        names = [each.name for each in data.inputs]
        drawn = {
            "calibration": figures.calibration(found[PROBABILITY], happened),
            "lift": figures.lift(found[PROBABILITY], happened),
            "contributions": figures.contributions(fitted.estimator, data.holdout.matrix, names),
        }
        return {title: figure for title, figure in drawn.items() if figure}
