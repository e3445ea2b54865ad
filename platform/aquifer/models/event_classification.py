"""Classification of events: examples with what the stream would have seen of each event.

Belongs here: what is different where examples are events. Does not: what the features of an event
are (`aquifer.features.event_features`).
"""

from dataclasses import dataclass
from datetime import timedelta

from aquifer.features.event_features import EventFeatures
from aquifer.features.view import EVENT_TIME
from aquifer.models.classification import Classification
from aquifer.models.event_classifier import EventClassifier
from aquifer.models.scorer import Input
from aquifer.models.training_set import Pinned, inputs_of
from aquifer.runtime import Runtime
from aquifer.spans import Span


@dataclass(frozen=True)
class EventClassification(Classification):
    """The learner of a classifier of events."""

    classifier: EventClassifier

    def examples(self, runtime: Runtime, pinned: Pinned, place: str) -> tuple[str, list[Input]]:
        examples, inputs = super().examples(runtime, pinned, place)
        event = self.classifier.event
        # Whatever the contract says: of some that an event is about nothing is known.
        known = [Input(each.name, each.categories) for each in inputs]
        found = _with_event_features(runtime, pinned, examples, event, place)
        return found, [*inputs_of(event, event.features), *known]


def _with_event_features(
    runtime: Runtime, pinned: Pinned, examples: str, event: EventFeatures, place: str
) -> str:
    """SQL of examples with the features of their events, which are computed now.

    Args:
        examples: SQL of rows with the key of an event and `event_time`.
        place: of `Runtime.staging()`.
    """
    asked = runtime.stage(examples, place, "examples")
    bounds = runtime.session.sql(
        f"select unix_micros(min({EVENT_TIME})) as first, unix_micros(max({EVENT_TIME})) as last "
        f"from {asked}"
    )
    ((first, last),) = (row.values() for row in bounds.toArrow().to_pylist())
    back = event.back // timedelta(microseconds=1)
    spans = [] if first is None else [Span(first - back, last + 1)]
    found = event.sql(f"select {event.key} from {asked}", spans, pinned.relation)
    features = ", ".join(f"f.`{name}`" for name in event.features)
    query = (
        f"select x.*, {features} from {asked} x join ({found}) f on x.{event.key} = f.{event.key}"
    )
    return f"select * from {runtime.stage(query, place, 'examples_with_features')}"
