"""Drift: how far what a model is given, and what it says, is from what it was measured on.

Evidently says it, by the population stability index (PSI) of each column, so that a small
difference is no drift however much data there is; its report can be opened without a network. Of
little data chance makes a great index: so a test has to tell the two apart, too.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before Evidently is loaded: it tells nothing to anyone.
os.environ.setdefault("DO_NOT_TRACK", "true")

import numpy as np
import pyarrow as pa
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from scipy.stats import chi2_contingency, ks_2samp

PSI = "psi"

THRESHOLD = 0.2
"""The PSI from which a column counts as drifted, as is usual."""

CHANCE = 0.01
"""The chance, where nothing has drifted, of a difference as great as one that counts."""


@dataclass(frozen=True)
class Drift:
    """How far columns have drifted.

    Attributes:
        indices: the PSI of each column, by name.
        unusable: columns without a value in either of the two.
        chances: the chance of so great a difference where nothing has drifted, by name.
    """

    indices: Mapping[str, float]
    unusable: Sequence[str]
    chances: Mapping[str, float]

    @property
    def drifted(self) -> list[str]:
        """The columns that have drifted, those that went furthest first."""
        far = [
            name
            for name, index in self.indices.items()
            if index >= THRESHOLD and self.chances[name] < CHANCE
        ]
        return sorted(far, key=lambda name: -self.indices[name])

    @property
    def share(self) -> float:
        """The share of columns that have drifted; one that lost all its values counts as such."""
        columns = len(self.indices) + len(self.unusable)
        return (len(self.drifted) + len(self.unusable)) / columns if columns else 0.0


def drift(
    reference: pa.Table,
    current: pa.Table,
    categorical: Sequence[str],
    report: Path,
    repeated: Sequence[Sequence[str]] = (),
) -> Drift:
    """How far `current` is from `reference`, column by column.

    Args:
        reference, current: rows with the same columns, numbers or texts.
        categorical: those that are no numbers.
        report: the HTML file that is written.
        repeated: columns that many rows have from one source, as events have those of their store,
            which so says no more than it would say once.
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
    indices = {each["config"]["column"]: float(each["value"]) for each in measured}
    sources = {name: source for source in repeated for name in source}
    chances = {
        name: _chance(
            *(_values(rows, name, sources.get(name)) for rows in (reference, current)),
            is_category=name in categorical,
        )
        for name in usable
    }
    return Drift(indices, unusable, chances)


def _values(rows: pa.Table, name: str, source: Sequence[str] | None) -> np.ndarray:
    """The values of a column, each source once."""
    if source:
        rows = rows.group_by([each for each in source if each in rows.column_names]).aggregate([])
    return np.asarray(rows[name].drop_null())


def _chance(before: np.ndarray, after: np.ndarray, *, is_category: bool) -> float:
    """The chance that two samples of one distribution are as far apart."""
    if not is_category:
        found = ks_2samp(before.astype(float), after.astype(float), method="asymp")
        return float(found.pvalue)
    names = np.unique(np.concatenate([before, after]))
    counts = [[(values == name).sum() for name in names] for values in (before, after)]
    return float(chi2_contingency(counts).pvalue)
