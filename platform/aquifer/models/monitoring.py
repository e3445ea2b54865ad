"""Monitoring: whether a champion still sees what it was measured on, and is still as good.

Belongs here: what is measured, and what follows of it: nothing, a retraining or a rollback. Does
not: how drift is measured (`drift`), and what Dagster does (`monitoring_assets`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from aquifer.contract import arrow_schema
from aquifer.models.batch import matrix_of
from aquifer.models.drift import Drift, drift
from aquifer.models.errors import RegistryError, TrainingError
from aquifer.models.evaluation import Floats, Gain, gain
from aquifer.models.learner import Learner
from aquifer.models.model import Measurement, Model, measurements_of
from aquifer.models.registry import CHAMPION, PREVIOUS, Registry
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import Pinned, TrainingSet
from aquifer.runtime import Runtime

NOTHING, RETRAIN, ROLLBACK = "nothing", "retrain", "rollback"
"""What follows of a measurement."""

BY = "monitoring"


@dataclass(frozen=True)
class Live:
    """How good the champion is on the newest examples whose labels are known.

    Attributes:
        loss: the mean.
        gain: on the baseline.
        previous: the gain on the champion before, if there is one.
    """

    loss: float
    gain: Gain
    previous: Gain | None


@dataclass(frozen=True)
class Measured:
    """A measurement of a champion.

    Attributes:
        inputs, outputs: how far what it sees and says has drifted.
        live: None while no label is known that it has not learned from.
        action: what follows.
        reason: why.
        report: the HTML file.
    """

    version: str
    rows: int
    inputs: Drift
    outputs: Drift
    live: Live | None
    action: str
    reason: str
    report: Path


def monitor(model: Model, runtime: Runtime, registry: Registry, folder: Path) -> Measured:
    """Measure a model's champion, take it back if it has to be, and keep the measurement.

    Args:
        folder: where reports are written.

    Raises:
        RegistryError: there is no champion, or it cannot be used.
    """
    version = registry.version(model.name, CHAMPION)
    if version is None:
        raise RegistryError(f"{model.name} has no champion; materialise models/{model.name}")
    champion = registry.scorer(model.name, version)
    now = datetime.now(UTC)
    report = folder / model.name / f"{now:%Y-%m-%dT%H-%M-%S}.html"
    rows = model.seen(runtime)
    reference = registry.reference(model.name, version)
    reference = reference if model.alike else None
    inputs, outputs = _drift(champion, reference, rows, report, model.repeated)
    live = _live(model, runtime, registry, champion)
    action, reason = _follows(model, registry, inputs, outputs, live, now)
    if action == ROLLBACK:
        registry.rollback(model.name, BY, reason)
    measured = Measured(version, len(rows), inputs, outputs, live, action, reason, report)
    _keep(model, runtime, measured, now)
    return measured


def _drift(
    champion: Scorer,
    reference: pa.Table | None,
    rows: pa.Table,
    report: Path,
    repeated: Sequence[Sequence[str]],
) -> tuple[Drift, Drift]:
    """How far inputs and outputs of a champion are from those that it was measured on, if known."""
    found = champion.named(champion.predict(matrix_of(rows, champion)))
    plain = {name: values for name, values in found.items() if not isinstance(values[0], list)}
    current = pa.table({**{e.name: rows[e.name] for e in champion.inputs}, **plain})
    categorical = [each.name for each in champion.inputs if each.categories is not None]
    categorical += [name for name in plain if champion.categories[name] is not None]
    reference = reference if reference is not None else current.select([])
    columns = [name for name in current.column_names if name in reference.column_names]
    both = drift(reference.select(columns), current.select(columns), categorical, report, repeated)
    inputs = [each.name for each in champion.inputs]
    return _part(both, inputs), _part(both, list(plain))


def _part(found: Drift, names: Sequence[str]) -> Drift:
    indices = {name: index for name, index in found.indices.items() if name in names}
    return Drift(indices, [name for name in found.unusable if name in names], found.chances)


def _live(model: Model, runtime: Runtime, registry: Registry, champion: Scorer) -> Live | None:
    learner = model.learner()
    try:
        pinned = Pinned.now(runtime.lake, model.upstreams)
        data = learner.training_set(runtime, pinned)
    except TrainingError:
        return None
    groups = learner.groups(data.holdout)
    losses = _losses(learner, data, champion)
    baseline = learner.losses(learner.baseline(data), data.holdout)
    before = registry.version(model.name, PREVIOUS)
    previous = None
    if before and before != champion.version:
        others = _losses(learner, data, registry.scorer(model.name, before))
        previous = gain(others, losses, groups)
    return Live(float(losses.mean()), gain(baseline, losses, groups), previous)


def _losses(learner: Learner, data: TrainingSet, scorer: Scorer) -> Floats:
    return learner.losses(learner.held(scorer, data), data.holdout)


def _follows(
    model: Model,
    registry: Registry,
    inputs: Drift,
    outputs: Drift,
    live: Live | None,
    now: datetime,
) -> tuple[str, str]:
    """What is to be done, and why."""
    policy = model.retraining
    if live and live.previous and _worse(live, live.previous):
        return ROLLBACK, f"it gains {live.previous} a row on the champion before"
    if live and live.gain.mean <= 0:
        why = f"it gains {live.gain} a row on the baseline"
    elif inputs.share >= policy.drift_share:
        why = f"{inputs.share:.0%} of its inputs have drifted: {', '.join(inputs.drifted)}"
    elif outputs.drifted:
        why = f"its predictions have drifted: {', '.join(outputs.drifted)}"
    else:
        return NOTHING, "it sees what it was measured on, and is as good"
    trained = registry.trained(model.name)
    lately = [at for at in trained if now - at < policy.within]
    if now - max(trained) < policy.cool_down:
        return NOTHING, f"{why}; but it was trained less than {policy.cool_down} ago"
    if len(lately) >= policy.most:
        return NOTHING, f"{why}; but it was trained {len(lately)} times within {policy.within}"
    return RETRAIN, why


def _worse(live: Live, previous: Gain) -> bool:
    """Whether a champion is surely worse than the one before, or worse than it and the baseline."""
    return previous.high < 0 or (previous.mean < 0 and live.gain.mean <= 0)


def _keep(model: Model, runtime: Runtime, measured: Measured, now: datetime) -> None:
    name, live = measurements_of(model), measured.live
    row = {
        "measured_at": now,
        "model_version": measured.version,
        "rows": measured.rows,
        "drifted": [*measured.inputs.drifted, *measured.outputs.drifted],
        "drifted_share": measured.inputs.share,
        "prediction_drift": max(measured.outputs.indices.values(), default=0.0),
        "loss": live.loss if live else None,
        "gain": live.gain.mean if live else None,
        "action": measured.action,
        "reason": measured.reason,
    }
    lake, schema = runtime.lake, arrow_schema(Measurement)
    with lake.lease([name]):
        lake.ensure(name, schema)
        lake.append(name, pa.Table.from_pylist([row], schema), {})
