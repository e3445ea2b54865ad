"""Learners: what a kind of model does to be trained, measured and shown.

Belongs here: what the life of a model asks of every kind. Does not: the kinds (`classification`),
and that life (`training`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from matplotlib.figure import Figure

from aquifer.models import gates
from aquifer.models.evaluation import Floats
from aquifer.models.gates import Gate
from aquifer.models.model import BEATS_BASELINE, BEATS_CHAMPION, Model
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import SEGMENT, Part, Pinned, TrainingSet
from aquifer.models.tuning import Choice, Tuning
from aquifer.runtime import Runtime

Outputs = Mapping[str, np.ndarray]
"""What is predicted of rows, by the name of the output."""


class Fitted(NamedTuple):
    """A model that has learned.

    Attributes:
        graph: what scores.
        estimator: what it was made from.
    """

    graph: onnx.ModelProto
    estimator: Any


class Measured(NamedTuple):
    """How good predictions are.

    Attributes:
        losses: a row.
        figures: by name, the mean loss among them.
    """

    losses: Floats
    figures: Mapping[str, float]


class Learner(ABC):
    """What trains and measures a model."""

    @property
    @abstractmethod
    def model(self) -> Model:
        """What it learns to be."""

    def output_categories(self, data: TrainingSet) -> Mapping[str, Sequence[str]]:
        """What the places in outputs stand for that are no numbers."""
        return {}

    def threshold(self, data: TrainingSet, choice: Choice) -> float | None:
        """From which value on the output is acted upon, by what comes before the holdout."""
        return None

    @property
    @abstractmethod
    def loss(self) -> str:
        """What `losses` are called."""

    @abstractmethod
    def training_set(self, runtime: Runtime, pinned: Pinned) -> TrainingSet:
        """What to learn from, as of pinned tables.

        Raises:
            TrainingError: too little is there to learn from.
        """

    @abstractmethod
    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        """What does best before the holdout."""

    @abstractmethod
    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        """Learn; the same from the same."""

    @abstractmethod
    def baseline(self, data: TrainingSet) -> Outputs:
        """What one would say of the holdout without a model."""

    @abstractmethod
    def losses(self, found: Outputs, part: Part) -> Floats:
        """What predictions cost, a row."""

    @abstractmethod
    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        """Further figures of predictions, by name."""

    def calibration(self, found: Outputs, part: Part) -> float | None:
        """How far what is said to be likely is from what happens; None if nothing is said so."""
        return None

    def measure(self, found: Outputs, part: Part) -> Measured:
        """How good predictions are."""
        losses, error = self.losses(found, part), self.calibration(found, part)
        figures = {
            self.loss.replace(" ", "_"): float(losses.mean()),
            **self.metrics(found, part),
            **({} if error is None else {"calibration_error": error}),
        }
        return Measured(losses, figures)

    def held(self, champion: Scorer, data: TrainingSet) -> Outputs:
        """What a champion predicts of the holdout, in the terms of this training set."""
        return champion.predict(data.holdout_of(champion.inputs).matrix)

    def verdicts(
        self, data: TrainingSet, found: Outputs, baseline: Outputs, champion: Scorer | None
    ) -> Iterator[Gate]:
        """Whether predictions of the holdout are better than others, nowhere worse, and sound."""
        part, limits = data.holdout, self.model.limits
        losses, before = self.losses(found, part), self.losses(baseline, part)
        groups = self.groups(part)
        yield gates.better(BEATS_BASELINE, "the baseline", before, losses, groups)
        if champion is None:
            yield Gate(BEATS_CHAMPION, True, "there is no champion yet")
        else:
            before = self.losses(self.held(champion, data), part)
            than = f"version {champion.version}, the champion"
            yield gates.better(BEATS_CHAMPION, than, before, losses, groups)
        yield gates.segments(before, losses, part.column(SEGMENT), groups, limits)
        if (error := self.calibration(found, part)) is not None:
            yield gates.calibrated(error, limits)

    @abstractmethod
    def groups(self, part: Part) -> Sequence[str]:
        """Whose each row is: rows of one are alike."""

    @abstractmethod
    def figures(self, fitted: Fitted, found: Outputs, data: TrainingSet) -> Mapping[str, Figure]:
        """Plots of the holdout for the model card, by title."""
