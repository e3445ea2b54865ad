"""Classifiers: models of whether something happens, as they are declared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aquifer.models.model import Model, Split

if TYPE_CHECKING:
    from aquifer.models.evaluation import Floats
    from aquifer.models.learner import Learner
    from aquifer.models.training_set import Part

PROBABILITY = "probability"

FAMILIES = ("boosting", "linear", "forest")
"""The names of what classifiers can be; see `aquifer.models.families`."""

Rule = Callable[["Part", "Part"], "Floats"]
"""The probabilities of the second examples, from the first and without a model."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Classifier(Model):
    """A model of whether something happens.

    Args:
        examples: SQL over `tables`, named without their layer; rows with an entity, `event_time`,
            `segment`, and `label`: 1 where it happened, else 0. One an entity and instant.
        tables: the tables that examples are made from.
        split: how examples are divided by time.
        rule: the baseline.
        drawn: the columns by which examples are drawn together, as they are alike; those of
            the entity, if none are named.
        alerts: what share of rows may be called likely; it decides the threshold.
        families: what tuning chooses among.
    """

    examples: str
    tables: Sequence[str]
    split: Split
    rule: Rule
    drawn: Sequence[str] = ()
    alerts: float | None = None
    families: Sequence[str] = FAMILIES

    @property
    def upstreams(self) -> Sequence[str]:
        return [*dict.fromkeys([*self.tables, *(view.name for view in self.features)])]

    @property
    def code(self) -> str:
        features = {view.name: [*names] for view, names in self.features.items()}
        return f"{self.examples} {features} {self.split} {self.families}"

    @property
    def outputs(self) -> Sequence[str]:
        return [PROBABILITY]

    def learner(self) -> "Learner":
        from aquifer.models.classification import Classification

        return Classification(self)
