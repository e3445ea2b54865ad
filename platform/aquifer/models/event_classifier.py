"""Classifiers of events, as they are declared: they are scored in the stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from aquifer.features.event_features import EventFeatures
from aquifer.models.classifier import Classifier
from aquifer.models.events_asked import of_late
from aquifer.models.model import predictions_of
from aquifer.runtime import Runtime

if TYPE_CHECKING:
    from aquifer.models.learner import Learner


@dataclass(frozen=True, eq=False, kw_only=True)
class EventClassifier(Classifier):
    """A model of whether an event is one of a kind; its examples have the entity of every view.

    Of some that an event is about, nothing may be known, or there may be nobody.

    Args:
        event: what it is given of an event.
    """

    event: EventFeatures

    @property
    def entity(self) -> Sequence[str]:
        return [self.event.key]

    @property
    def looked_up_by(self) -> Sequence[str]:
        return [*dict.fromkeys(column for view in self.features for column in view.entity)]

    @property
    def takes_unknown(self) -> bool:
        return True

    @property
    def batch(self) -> bool:
        return False

    @property
    def streams(self) -> Sequence[str]:
        return [*self.tables, predictions_of(self)]

    def seen(self, runtime: Runtime) -> pa.Table:
        return of_late(self, runtime)

    @property
    def repeated(self) -> Sequence[Sequence[str]]:
        return [*self.features.values()]

    @property
    def upstreams(self) -> Sequence[str]:
        return [*dict.fromkeys([*super().upstreams, *self.event.upstreams])]

    @property
    def code(self) -> str:
        return f"{super().code} {self.event.code}"

    def learner(self) -> "Learner":
        from aquifer.models.event_classification import EventClassification

        return EventClassification(self)
