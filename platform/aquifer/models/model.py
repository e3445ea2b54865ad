"""Models as they are declared: what each is made from and held to.

Belongs here: what a person writes of a model. Does not: learning (`learner`), which takes packages
that are loaded only where a model is trained or asked.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa

from aquifer.contract import Contract, Field, Key, Record, Timestamp, days, table
from aquifer.features.online import latest
from aquifer.features.view import EVENT_TIME, FeatureView
from aquifer.lake import Lake
from aquifer.runtime import Runtime

if TYPE_CHECKING:
    from aquifer.models.learner import Learner

BEATS_BASELINE = "beats_baseline"
BEATS_CHAMPION = "beats_champion"
SEGMENTS = "no_segment_worse"
CALIBRATED = "calibrated"
FAST = "latency"
SMALL = "memory"
INPUTS = "input_contract"
REPRODUCIBLE = "reproducible"

GATES: Mapping[str, str] = {
    BEATS_BASELINE: "loses less than the baseline on the holdout, surely",
    BEATS_CHAMPION: "loses less than the champion on the same holdout, surely",
    SEGMENTS: "loses in no segment surely more than what it replaces, beyond a tolerance",
    CALIBRATED: "what it says to be likely happens as often",
    FAST: "scores one row fast enough",
    SMALL: "is small enough",
    INPUTS: "takes what the contracts of its features allow, nulls and new categories too",
    REPRODUCIBLE: "learns the same again from the same data, code and seed",
}


class Prediction(Record):
    """What every table of predictions has beside its entity and outputs."""

    event_time: Timestamp = Field(description="instant whose features it is made from, UTC")
    model_version: str = Field(description="version of the model, as in the registry")
    feature_version: int = Field(ge=0, description="Delta version of the first table of features")


class Measurement(Contract):
    """A measurement of a champion: drift since it was measured, and live performance."""

    measured_at: Timestamp = Key(description="when it was measured")
    model_version: str = Field(description="version of the champion")
    rows: int = Field(ge=0, description="entities whose features were looked at")
    drifted: list[str] = Field(description="inputs and outputs that have drifted, by PSI")
    drifted_share: float = Field(ge=0, le=1, description="share of the inputs that have drifted")
    prediction_drift: float = Field(ge=0, description="greatest PSI of an output")
    loss: float | None = Field(
        description="mean loss on the newest examples with a label; null without any"
    )
    gain: float | None = Field(description="gain on the baseline, a row of these examples")
    action: str = Field(isin=["nothing", "retrain", "rollback"], description="what follows of it")
    reason: str = Field(description="why")

    class Config:
        metadata = table(owner="team:ml", grain="a measurement", fresh_within=days(2))


@dataclass(frozen=True)
class Retraining:
    """When drift leads to a retraining.

    Args:
        drift_share: the share of inputs that have to have drifted.
        cool_down: how long after a training there is none.
        most: how many trainings there are at most `within` a time.
    """

    drift_share: float = 0.3
    cool_down: timedelta = timedelta(days=1)
    most: int = 3
    within: timedelta = timedelta(days=14)


@dataclass(frozen=True)
class Split:
    """A split by time: what is learned lies before what is held out, and so do its labels.

    Args:
        horizon: how long after its instant the label of an example is known.
        holdout: how much time, at the end, is held out.
        folds: how many spans before it, as long as it, tuning validates on.
    """

    horizon: timedelta
    holdout: timedelta
    folds: int = 2


@dataclass(frozen=True)
class Limits:
    """How strict the gates of a model are.

    Args:
        segment_tolerance: by what share the mean loss of a segment may be greater.
        calibration: the greatest calibration error.
        latency_ms: the greatest 99th percentile of the time to score one row.
        megabytes: the greatest size of the graph.
    """

    segment_tolerance: float = 0.1
    calibration: float = 0.05
    latency_ms: float = 5.0
    megabytes: float = 50.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(ABC):
    """A model.

    Args:
        name: as in the registry; its asset is `models.<name>`.
        contract: of its predictions, one row an entity, with a column for each output.
        features: the features that it is given, by view; all views are of one entity, unless the
            model is about events.
        limits: how strict its gates are.
        retraining: when drift leads to one.
        least_examples: how many it takes to learn, and to measure.
        fresh_within: how long it may go without a training.
    """

    name: str
    contract: type[Contract]
    features: Mapping[FeatureView, Sequence[str]]
    limits: Limits = field(default_factory=Limits)
    retraining: Retraining = field(default_factory=Retraining)
    least_examples: int = 200
    fresh_within: timedelta = timedelta(days=35)

    @property
    def entity(self) -> Sequence[str]:
        """The columns that say whom it is about."""
        return next(iter(self.features)).entity

    @property
    def looked_up_by(self) -> Sequence[str]:
        """The columns by which its features are looked up for who asks the service."""
        return self.entity

    @property
    def takes_unknown(self) -> bool:
        """Whether it answers also where nothing is known of some that it is asked about."""
        return False

    def asked(self, lake: Lake) -> pa.Table:
        """Whom batch scoring asks it about, with `event_time` and a column for each input.

        Here each entity that every view has, with its latest features.
        """
        tables = [
            latest(lake, view.name).select(
                [*self.entity, *([EVENT_TIME] if place == 0 else []), *names]
            )
            for place, (view, names) in enumerate(self.features.items())
        ]
        return reduce(lambda one, other: one.join(other, list(self.entity), "inner"), tables)

    def seen(self, runtime: Runtime) -> pa.Table:
        """What it was asked about of late, with a column for each input, to look for drift."""
        return self.asked(runtime.lake)

    @property
    def streams(self) -> Sequence[str]:
        """Of the tables that it learns from or makes, those that are told of every now and then."""
        return []

    @property
    def alike(self) -> bool:
        """Whether `asked` is like the examples that it is measured on: else no drift is told."""
        return True

    @property
    def repeated(self) -> Sequence[Sequence[str]]:
        """Inputs that many rows of `seen` have from one source; see `drift`."""
        return []

    @property
    def batch(self) -> bool:
        """Whether it is scored in batches; else a stream table has its predictions."""
        return True

    @property
    @abstractmethod
    def upstreams(self) -> Sequence[str]:
        """The tables that it learns from."""

    @property
    @abstractmethod
    def code(self) -> str:
        """What decides what it learns: its change is a new version of the code."""

    @property
    @abstractmethod
    def outputs(self) -> Sequence[str]:
        """The outputs of its graph, which are columns of its predictions."""

    @property
    def gates(self) -> Mapping[str, str]:
        """What it has to pass, each with what it asks for."""
        return GATES

    @abstractmethod
    def learner(self) -> "Learner":
        """What trains it, loaded now."""


def predictions_of(model: Model) -> str:
    """The name of a model's table of predictions."""
    return f"predictions.{model.name}"


def measurements_of(model: Model) -> str:
    """The name of the table of a model's measurements."""
    return f"monitoring.{model.name}"
