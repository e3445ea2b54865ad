"""Drift: how far what a model is given, and what it says, is from what it was measured on.

Evidently says it, by the population stability index (PSI) of each column, so that the verdict does
not hang on how many rows there are; its report can be opened without a network.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before Evidently is loaded: it tells nothing to anyone.
os.environ.setdefault("DO_NOT_TRACK", "true")

import pyarrow as pa
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

PSI = "psi"

THRESHOLD = 0.2
"""The PSI from which a column counts as drifted, as is usual."""


@dataclass(frozen=True)
class Drift:
    """How far columns have drifted.

    Attributes:
        indices: the PSI of each column, by name.
        unusable: columns without a value in either of the two.
    """

    indices: Mapping[str, float]
    unusable: Sequence[str]

    @property
    def drifted(self) -> list[str]:
        """The columns that have drifted, those that went furthest first."""
        far = [name for name, index in self.indices.items() if index >= THRESHOLD]
        return sorted(far, key=lambda name: -self.indices[name])

    @property
    def share(self) -> float:
        """The share of columns that have drifted; one that lost all its values counts as such."""
        columns = len(self.indices) + len(self.unusable)
        return (len(self.drifted) + len(self.unusable)) / columns if columns else 0.0


def drift(
    reference: pa.Table, current: pa.Table, categorical: Sequence[str], report: Path
) -> Drift:
    """How far `current` is from `reference`, column by column.

    Args:
        reference, current: rows with the same columns, numbers or texts.
        categorical: those that are no numbers.
        report: the HTML file that is written.
    """
    columns = reference.column_names
    unusable = [
        name
        for name in columns
        if any(rows[name].null_count == len(rows) for rows in (reference, current))
    ]
    usable = [name for name in columns if name not in unusable]
    definition = DataDefinition(
        numerical_columns=[name for name in usable if name not in categorical],
        categorical_columns=[name for name in usable if name in categorical],
    )
    after, before = (
        Dataset.from_pandas(rows.select(usable).to_pandas(), data_definition=definition)
        for rows in (current, reference)
    )
    metrics = [ValueDrift(column=name, method=PSI, threshold=THRESHOLD) for name in usable]
    found = Report(metrics).run(after, before)
    report.parent.mkdir(parents=True, exist_ok=True)
    found.save_html(str(report))
    measured = found.dict()["metrics"]
    return Drift({each["config"]["column"]: float(each["value"]) for each in measured}, unusable)
