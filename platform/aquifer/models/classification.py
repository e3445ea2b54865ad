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
from aquifer.models.evaluation import Floats, calibration_error
from aquifer.models.families import FAMILIES, learned
from aquifer.models.learner import Fitted, Learner, Outputs
from aquifer.models.model import Model
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
        examples = pinned.with_tables(model.tables, model.examples)
        rows = joined(runtime, pinned, examples, model.features)
        inputs = [e for view, names in model.features.items() for e in inputs_of(view, names)]
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

    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        folds = data.folds()

        def loss(family: str, parameters: Mapping[str, Any], fold: int) -> float:
            training, validation = folds[fold]
            estimator = learned(family, parameters, training.matrix, training.label(LABEL))
            found = {PROBABILITY: estimator.predict_proba(validation.matrix)[:, 1]}
            return float(self.losses(found, validation).mean())

        suggest = {name: family.suggest for name, family in FAMILIES.items()}
        return tuning.choose(suggest, len(folds), loss)

    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        part = data.training
        estimator = learned(choice.family, choice.parameters, part.matrix, part.label(LABEL))
        return Fitted(FAMILIES[choice.family].graph(estimator, len(data.inputs)), estimator)

    def baseline(self, data: TrainingSet) -> Outputs:
        return {PROBABILITY: self.classifier.rule(data.training, data.holdout)}

    def losses(self, found: Outputs, part: Part) -> Floats:
        probability = np.clip(found[PROBABILITY].astype(np.float64), 1e-6, 1 - 1e-6)
        right = np.where(part.label(LABEL) == 1, probability, 1 - probability)
        return np.asarray(-np.log(right), dtype=np.float64)

    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        happened, probability = part.label(LABEL), found[PROBABILITY]
        return {
            "roc_auc": float(roc_auc_score(happened, probability)),
            "average_precision": float(average_precision_score(happened, probability)),
            "brier": float(brier_score_loss(happened, probability)),
            "base_rate": float(happened.mean()),
        }

    def calibration(self, found: Outputs, part: Part) -> float:
        return calibration_error(found[PROBABILITY], part.label(LABEL))

    def groups(self, part: Part) -> Sequence[str]:
        columns = (part.column(name) for name in self.model.entity)
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
