"""Scores in the stream: what the champion says of each event, once it has come in.

Belongs here: which events are scored when, and the commit. Does not: their features
(`aquifer.features`), and which champion it is (`live_champion`).

An event is scored once, from what happened before it as far as it is known by then: what comes late
is scored when it comes, and changes no score that was given. One whose content is replaced is
scored again. Events that a void takes back keep their score.

Without a champion events wait. The first one scores those that it has not learned from; what it
has learned from would look better than it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.contract import Contract
from aquifer.lake import DELETED, MONTH, NOTHING, SEQUENCE, Lake
from aquifer.models.classifier import PROBABILITY
from aquifer.models.event_classifier import EventClassifier
from aquifer.models.events_asked import with_features
from aquifer.models.model import predictions_of
from aquifer.runtime import Runtime
from aquifer.silver_events import FIRST_SEQUENCE
from aquifer.stream_table import Counts, Stalled, StreamTable, step_of

if TYPE_CHECKING:
    from aquifer.models.scorer import Scorer

EVENTS_PER_STEP = 50_000

CHECKED_COMMITS = 500
"""Of how many of the last commits the rows are checked: each is as it was written."""

SUSPICIOUS, SCORED_AT, VERSION, FEATURES = (
    *("is_suspicious", "scored_at"),
    *("model_version", "feature_version"),
)


@dataclass(frozen=True)
class ScoreTable(StreamTable):
    """A row an event, with what the champion of a model says of it.

    The contract has the key of the events and their time, `probability`, `is_suspicious` (whether
    that is not below the model's threshold), `model_version`, `feature_version`, `scored_at`, and
    columns of the event.

    Args:
        model: what scores.
    """

    model: EventClassifier

    @property
    def upstreams(self) -> Sequence[str]:
        return [*self.model.event.upstreams, *(view.name for view in self.model.features)]

    @property
    def follows(self) -> Sequence[str]:
        return [f"champions.{self.model.name}"]

    @property
    def resources(self) -> Sequence[str]:
        return ["registry"]

    @property
    def checks(self) -> Mapping[str, str]:
        return {"scored": "nothing keeps the champion from scoring what comes in"}

    @property
    def asks_for_runs(self) -> bool:
        # Others follow the same events. While it waits, it would ask for one run after the other.
        return False

    @property
    def code(self) -> str:
        return self.model.event.code

    def checked(self, lake: Lake) -> str:
        return f"{super().checked(lake)} and {SEQUENCE} > {lake.seq(self.name) - CHECKED_COMMITS}"

    def waits(self, runtime: Runtime) -> bool:
        return self._champion(runtime) is None

    def take_in(self, runtime: Runtime, counts: Counts) -> None:
        self._step(runtime, counts)

    def take_in_late(self, runtime: Runtime, counts: Counts) -> None:
        """No event is too late for a score; what waits is more than a step, perhaps."""
        while self._step(runtime, counts):
            pass

    def lineage(self) -> Mapping[str, list[tuple[str, str]]]:
        """What each column is made from."""
        events = self.model.event.events
        features = [(v.name, name) for v, names in self.model.features.items() for name in names]
        found = {
            column: [(events.name, column)]
            for column in self.columns
            if column in events.target.columns
        }
        return {PROBABILITY: features, SUSPICIOUS: features, **found}

    def _champion(self, runtime: Runtime) -> "Scorer | None":
        if runtime.champions is None:
            return None
        with _stalling():
            return runtime.champions.of(self.model.name)

    def _step(self, runtime: Runtime, counts: Counts) -> bool:
        """Score some of what is new; whether anything was."""
        scorer = self._champion(runtime)
        if scorer is None:
            return False
        lake, upstream = runtime.lake, self.model.event.events.name
        if lake.progress(self.name, upstream) == NOTHING:
            learned_from = scorer.manifest["versions_read"].get(upstream, NOTHING)
            lake.record(self.name, {upstream: learned_from})
        step = step_of(lake, self.name, upstream, EVENTS_PER_STEP)
        if step.upto <= step.since:
            return False
        new = f"{SEQUENCE} > {step.since} and {SEQUENCE} <= {step.upto}"
        columns = self.model.event.events.target.columns
        written = [column for column in self.columns if column in columns]
        rows = with_features(self.model, runtime, new, [*written, FIRST_SEQUENCE, MONTH])
        scores = self._scores(lake, scorer, rows)
        seen = pc.any(pc.less_equal(rows[FIRST_SEQUENCE], step.since)).as_py()
        if seen:
            places = scores.select([MONTH, self.time]).to_pylist()
            lake.merge(self.name, scores, self.keys, self._place(places), step.marks)
        elif len(scores):
            lake.append(self.name, scores, step.marks)
        else:
            lake.record(self.name, step.marks)
        counts.events += len(rows)
        counts.written += len(scores)
        counts.sample = counts.sample or scores.slice(0, 5).select(self.columns).to_pylist()
        return True

    def _scores(self, lake: Lake, scorer: "Scorer", rows: pa.Table) -> pa.Table:
        import numpy as np

        from aquifer.models.scorer import NotFinite
        from aquifer.models.training_set import encoded

        lacking = [each.name for each in scorer.inputs if each.name not in rows.column_names]
        if lacking:
            raise Stalled(
                f"version {scorer.version} of {scorer.name} takes {', '.join(lacking)}, which is "
                "computed no more; train it again"
            )
        matrix = np.column_stack([encoded(rows[each.name], each) for each in scorer.inputs])
        try:
            probability = scorer.predict(matrix)[PROBABILITY]
        except NotFinite as error:
            raise Stalled(f"{error}; events wait to be scored") from error
        count, now = len(rows), datetime.now(UTC)
        threshold = 0.5 if scorer.threshold is None else scorer.threshold
        version = lake.version(next(iter(self.model.features)).name)
        made = {
            PROBABILITY: pa.array(probability.astype(np.float64)),
            SUSPICIOUS: pa.array(probability >= threshold),
            VERSION: pa.repeat(scorer.version, count),
            FEATURES: pa.repeat(version, count),
            SCORED_AT: pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), count),
            DELETED: pa.repeat(False, count),
        }
        names = self.schema.names
        columns = [made[name] if name in made else rows[name] for name in names]
        return pa.table(columns, names=names).cast(self.schema)


@contextmanager
def _stalling() -> Iterator[None]:
    """Let what keeps a champion from scoring stop this table alone."""
    from aquifer.models.errors import RegistryDown, RegistryError

    try:
        yield
    except (RegistryDown, RegistryError) as error:
        raise Stalled(str(error)) from error


def scores(contract: type[Contract], model: EventClassifier, *, every: timedelta) -> ScoreTable:
    """Declare the table of a model's predictions, which the stream makes."""
    return ScoreTable(predictions_of(model), contract, model=model, every=every)
