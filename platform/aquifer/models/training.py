"""Training: from pinned tables to a challenger in the registry, with the verdict of its gates.

Belongs here: the order of the steps. Does not: what each is (`learner`, `tuning`, `gates`,
`registry`), and promotion, which a passed gate allows (`promotion`).

Until its version is registered, a training leaves nothing behind but the trials of its study; the
champion is not touched by any step.
"""

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pyarrow as pa
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from pyarrow import parquet

from aquifer.models import gates
from aquifer.models.card import card
from aquifer.models.gates import Gate
from aquifer.models.learner import Fitted, Learner, Measured, Outputs
from aquifer.models.model import Model
from aquifer.models.registry import CHALLENGER, REFERENCE, Registry, answered
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import Pinned, TrainingSet
from aquifer.models.tuning import Choice, Tuning
from aquifer.runtime import Runtime

EXAMPLE_ROWS = 3
SHOWN_ROWS = 200
"""Rows of the holdout with which the edges of the input contract are tried."""

REFERENCE_ROWS = 10_000

REQUIREMENTS = [f"onnxruntime=={onnxruntime.__version__}", f"numpy=={np.__version__}"]
"""Told to MLflow, which else finds them by loading the model in a process of its own."""


@dataclass(frozen=True)
class Budget:
    """What tuning may cost.

    Args:
        seconds: all trials together.
        trials: at most.
    """

    seconds: float
    trials: int


@dataclass(frozen=True)
class Challenger:
    """A trained version.

    Attributes:
        version: in the registry.
        experiment, run: ids in MLflow.
        gates: the verdicts.
        champion: the version that it was compared with, if there was one.
    """

    version: str
    experiment: str
    run: str
    gates: Sequence[Gate]
    measured: Measured
    baseline: Measured
    champion: str | None
    choice: Choice
    data: TrainingSet
    card: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it may be promoted."""
        return all(gate.passed for gate in self.gates)


def train(
    model: Model,
    runtime: Runtime,
    registry: Registry,
    studies: str,
    budget: Budget,
    tags: Mapping[str, str],
) -> Challenger:
    """Train a model on its tables as they are now, and register what came of it as challenger.

    Args:
        studies: URL of the database of Optuna's studies.
        tags: of MLflow's run, such as who asked for it.

    Raises:
        TrainingError: too little is there to learn from.
        RegistryDown: MLflow does not answer.
    """
    started = time.monotonic()
    # Asked first: what is trained for minutes is not to find the registry down.
    experiment = registry.experiment(model.name)
    learner = model.learner()
    pinned = Pinned.now(runtime.lake, model.upstreams)
    data = learner.training_set(runtime, pinned)
    study = f"{model.name}/{_digest(model.code, sorted(pinned.versions.items()))}"
    choice = learner.tune(data, Tuning(study, studies, budget.seconds, budget.trials))
    fitted = learner.fit(data, choice)
    graph = fitted.graph.SerializeToString()
    threshold = learner.threshold(data, choice)
    manifest = {**_manifest(learner, data, graph), "threshold": threshold}
    scorer = Scorer(graph, {**manifest, "version": "new"})
    found = scorer.predict(data.holdout.matrix)
    before = learner.baseline(data)
    measured, baseline = (learner.measure(each, data.holdout) for each in (found, before))
    champion = registry.champion(model.name)
    verdicts = [
        *learner.verdicts(data, found, before, champion),
        *gates.cost(scorer, len(graph), data.holdout.matrix, model.limits),
        gates.takes_inputs(scorer, data.holdout.rows.slice(0, SHOWN_ROWS).to_pylist()),
        gates.reproducible(found, _again(learner, data, choice, manifest)),
    ]
    figures = learner.figures(fitted, found, data)
    figures_of_both = measured.figures, baseline.figures
    text = card(model, learner.loss, data, choice, threshold, *figures_of_both, verdicts)
    mlflow.set_tracking_uri(registry.uri)
    with answered(), mlflow.start_run(experiment_id=experiment, tags=dict(tags)) as run:
        for name, read in data.versions.items():
            source = DeltaDatasetSource(path=runtime.lake.uri(name), delta_table_version=read)
            mlflow.log_input(MetaDataset(source, name=name), context="training")  # type: ignore[abstract]
        mlflow.log_params({"family": choice.family, "trials": choice.trials, **choice.parameters})
        if threshold is not None:
            mlflow.log_param("threshold", threshold)
        info = _logged(model, data, fitted, found, manifest)
        mlflow.log_metrics(dict(measured.figures), model_id=info.model_id)
        mlflow.log_metrics({f"baseline_{n}": v for n, v in baseline.figures.items()})
        mlflow.log_text(text, "model_card.md")
        _log_reference(scorer, data, found)
        for title, figure in figures.items():
            mlflow.log_figure(figure, f"figures/{title}.png")
        version = _registered(registry, model.name, info, run.info.run_id, text, verdicts)
    return Challenger(
        version,
        experiment,
        run.info.run_id,
        verdicts,
        measured,
        baseline,
        champion.version if champion else None,
        choice,
        data,
        text,
        time.monotonic() - started,
    )


def _again(
    learner: Learner, data: TrainingSet, choice: Choice, manifest: Mapping[str, Any]
) -> Outputs:
    """The predictions of a second training."""
    graph = learner.fit(data, choice).graph.SerializeToString()
    manifest = {**manifest, "version": "again", "sha256": _sha256(graph)}
    return Scorer(graph, manifest).predict(data.holdout.matrix)


def _manifest(learner: Learner, data: TrainingSet, graph: bytes) -> dict[str, Any]:
    """What a bundle says of itself, but for the version that it will have."""
    categories = learner.output_categories(data)
    inputs = [each.to_json() for each in data.inputs]
    outputs = [{"name": name, "categories": categories.get(name)} for name in learner.model.outputs]
    _share(inputs, outputs)
    return {
        "name": learner.model.name,
        "inputs": inputs,
        "outputs": outputs,
        "sha256": _sha256(graph),
        "versions_read": dict(data.versions),
    }


def _share(inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
    """Let categories be listed once: there may be thousands, of several inputs and outputs."""
    listed: dict[tuple[str, ...], str] = {}
    for each in inputs:
        if each["categories"] is not None:
            first = listed.setdefault(tuple(each["categories"]), each["name"])
            each["categories"] = first if first != each["name"] else each["categories"]
    for each in outputs:
        if each["categories"] is not None:
            each["categories"] = listed.get(tuple(each["categories"]), each["categories"])


def _logged(
    model: Model,
    data: TrainingSet,
    fitted: Fitted,
    found: Outputs,
    manifest: Mapping[str, Any],
) -> ModelInfo:
    example = data.holdout.matrix[:EXAMPLE_ROWS]
    info: ModelInfo = mlflow.onnx.log_model(
        fitted.graph,
        name=model.name,
        signature=infer_signature(example, {n: v[:EXAMPLE_ROWS] for n, v in found.items()}),
        input_example=example,
        pip_requirements=REQUIREMENTS,
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
        metadata={"manifest": dict(manifest)},
    )
    return info


def _log_reference(scorer: Scorer, data: TrainingSet, found: Outputs) -> None:
    """Keep what the model saw and said of the holdout, against which drift is measured."""
    rows = data.holdout.rows
    named = {n: values for n, values in scorer.named(found).items() if found[n].ndim == 1}
    inputs = {each.name: rows[each.name] for each in data.inputs if each.name in rows.column_names}
    table = pa.table({**inputs, **named})
    # Rows are in order of time, and the hours of a day are not alike.
    table = table.take(np.linspace(0, len(table) - 1, min(len(table), REFERENCE_ROWS)).astype(int))
    with tempfile.TemporaryDirectory() as place:
        parquet.write_table(table, Path(place, REFERENCE))
        mlflow.log_artifact(str(Path(place, REFERENCE)))


def _registered(
    registry: Registry,
    name: str,
    info: ModelInfo,
    run: str,
    text: str,
    verdicts: Sequence[Gate],
) -> str:
    version = registry.register(name, info.model_id, run, text)
    for gate in verdicts:
        registry.tag(name, version, f"{gates.GATE}{gate.name}", gate.verdict)
    registry.alias(name, CHALLENGER, version)
    return version


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _sha256(graph: bytes) -> str:
    return hashlib.sha256(graph).hexdigest()
