"""Segmenters: models of which of a few segments an entity is in, as they are declared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aquifer.models.model import (
    BEATS_BASELINE,
    FAST,
    GATES,
    INPUTS,
    REPRODUCIBLE,
    SMALL,
    Model,
    Split,
)

if TYPE_CHECKING:
    import numpy as np

    from aquifer.models.evaluation import Floats
    from aquifer.models.learner import Learner

SEGMENT_OF, DISTANCE = "segment", "distance"

STABLE = "stable"

Naming = Callable[["Floats"], Sequence[str]]
"""The name of each centre; shape (segments, inputs), standardised logarithms."""

Cells = Callable[["Floats", "Floats"], "np.ndarray"]
"""The cell, from 0 on, of each of the second rows, by bounds of the first; shape (rows, inputs)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmenter(Model):
    """A model of which segment an entity is in, and how far from its centre.

    Its features are amounts. What lies above 0 is taken as a logarithm, log(1 + x), and
    standardised; segments are the clusters of k-means there, and distances are of that space.

    Args:
        examples: SQL over `tables`, named without their layer; rows with an entity and
            `event_time`. One an entity and instant.
        tables: the tables that examples are made from.
        split: how examples are divided by time; nothing is known later than its instant.
        segments: the names, as many as there are clusters.
        naming: which centre has which name.
        cells: the baseline, with as many cells.
        least_agreement: the least adjusted Rand index, of resamples and with the champion.
    """

    examples: str
    tables: Sequence[str]
    split: Split
    segments: Sequence[str]
    naming: Naming
    cells: Cells
    least_agreement: float = 0.8

    @property
    def upstreams(self) -> Sequence[str]:
        return [*dict.fromkeys([*self.tables, *(view.name for view in self.features)])]

    @property
    def code(self) -> str:
        features = {view.name: [*names] for view, names in self.features.items()}
        return f"{self.examples} {features} {self.split} {self.segments}"

    @property
    def outputs(self) -> Sequence[str]:
        return [SEGMENT_OF, DISTANCE]

    @property
    def gates(self) -> Mapping[str, str]:
        shared = (BEATS_BASELINE, FAST, SMALL, INPUTS, REPRODUCIBLE)
        stable = "divides alike on resamples of its entities, and as the champion does"
        return {STABLE: stable, **{name: GATES[name] for name in shared}}

    def learner(self) -> "Learner":
        from aquifer.models.segmentation import Segmentation

        return Segmentation(self)
