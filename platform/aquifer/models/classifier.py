"""Classifiers: models of whether something happens, as they are declared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from aquifer.errors import ContractError
from aquifer.features.event_features import EventFeatures
from aquifer.models.events_asked import of_late
from aquifer.models.model import Model, Split, predictions_of
from aquifer.runtime import Runtime

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
        event: what it is given of an event, if it is about events; examples then have the columns
            of the entity of every view. It is scored in the stream.
        drawn: the columns by which examples are drawn together, as they are alike; those of
            the entity, if none are named.
        alerts: what share of rows may be called likely; it decides the threshold.
        families: what tuning chooses among.
    """

    examples: str
    tables: Sequence[str]
    split: Split
    rule: Rule
    event: EventFeatures | None = None
    drawn: Sequence[str] = ()
    alerts: float | None = None
    families: Sequence[str] = FAMILIES

    @property
    def entity(self) -> Sequence[str]:
        return [self.event.key] if self.event else super().entity

    @property
    def about(self) -> EventFeatures:
        """What it is given of an event.

        Raises:
            ContractError: it is about no events.
        """
        if self.event is None:
            raise ContractError(f"{self.name} is not about events; give it `event`")
        return self.event

    def seen(self, runtime: Runtime) -> pa.Table:
        return of_late(self, runtime) if self.event else super().seen(runtime)

    @property
    def repeated(self) -> Sequence[Sequence[str]]:
        return [*self.features.values()] if self.event else super().repeated

    @property
    def streams(self) -> Sequence[str]:
        return [*self.tables, predictions_of(self)] if self.event else []

    @property
    def looked_up_by(self) -> Sequence[str]:
        if self.event is None:
            return super().looked_up_by
        return [*dict.fromkeys(column for view in self.features for column in view.entity)]

    @property
    def takes_unknown(self) -> bool:
        return self.event is not None

    @property
    def batch(self) -> bool:
        return self.event is None

    @property
    def upstreams(self) -> Sequence[str]:
        of_events = self.event.upstreams if self.event else []
        views = (view.name for view in self.features)
        return [*dict.fromkeys([*self.tables, *of_events, *views])]

    @property
    def code(self) -> str:
        features = {view.name: [*names] for view, names in self.features.items()}
        of_events = self.event.code if self.event else ""
        return f"{self.examples} {features} {self.split} {of_events} {self.families}"

    @property
    def outputs(self) -> Sequence[str]:
        return [PROBABILITY]

    def learner(self) -> "Learner":
        from aquifer.models.classification import Classification

        return Classification(self)
