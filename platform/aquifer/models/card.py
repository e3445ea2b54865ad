"""Model cards: what a version is, what it learned from, and how good it is, as Markdown."""

from collections.abc import Mapping, Sequence

import pyarrow.compute as pc

from aquifer.contract import describe
from aquifer.features.view import EVENT_TIME
from aquifer.models.gates import FAILED, PASSED, Gate
from aquifer.models.model import Model
from aquifer.models.training_set import Part, TrainingSet
from aquifer.models.tuning import Choice


def card(
    model: Model,
    loss: str,
    data: TrainingSet,
    choice: Choice,
    threshold: float | None,
    found: Mapping[str, float],
    baseline: Mapping[str, float],
    verdicts: Sequence[Gate],
) -> str:
    """The card of a version.

    Args:
        loss: what its loss is called.
        threshold: from which value on its output is acted upon.
        found, baseline: the figures of the model and of the baseline on the holdout.
    """
    parameters = ", ".join(f"{name} {value:.4g}" for name, value in choice.parameters.items())
    lines = [
        f"# {model.name}",
        "",
        describe(model.contract),
        "",
        "## Data",
        "",
        "| | examples | from | to |",
        "|---|---|---|---|",
        _row("training", data.training),
        _row("holdout", data.holdout),
        "",
        *_gap(data),
        "| table | version |",
        "|---|---|",
        *(f"| {name} | {version} |" for name, version in sorted(data.versions.items())),
        "",
        f"Inputs: {', '.join(each.name for each in data.inputs)}.",
        "",
        "## Learner",
        "",
        f"{choice.family}{_best(choice)}: {parameters}.",
        "",
        *([f"What it finds is acted upon from {threshold:.4f} on.", ""] if threshold else []),
        "## Holdout",
        "",
        f"The model learns to lose little ({loss}).",
        "",
        "| | model | baseline |",
        "|---|---|---|",
        *(f"| {name} | {value:.4f} | {baseline[name]:.4f} |" for name, value in found.items()),
        "",
        "## Gates",
        "",
        "| gate | verdict | found |",
        "|---|---|---|",
        *(
            f"| {model.gates[gate.name]} | {PASSED if gate.passed else FAILED} | {gate.reason} |"
            for gate in verdicts
        ),
    ]
    return "\n".join(lines)


def _gap(data: TrainingSet) -> list[str]:
    days = data.split.horizon.days
    told = (
        f"A label is known {days} days after its instant, so that much lies between what is "
        "learned and what is held out."
    )
    return [told, ""] if days else []


def _best(choice: Choice) -> str:
    return f", the best of {choice.trials} trials" if choice.trials else ""


def _row(name: str, part: Part) -> str:
    times = part.rows[EVENT_TIME]
    first, last = (pick(times).as_py().date() for pick in (pc.min, pc.max))
    return f"| {name} | {len(part):,} | {first} | {last} |"
