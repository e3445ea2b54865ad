"""Segmentation: how segmenters learn and are measured.

Belongs here: clusters, and whether they are stable. Does not: where they lie (`segments`), which
entities and features those are, and what segments are called (the model's module).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from aquifer.features.online import entity_key
from aquifer.models import figures, gates
from aquifer.models.errors import TrainingError
from aquifer.models.evaluation import SEED, Floats
from aquifer.models.gates import Gate
from aquifer.models.learner import Fitted, Learner, Outputs
from aquifer.models.model import BEATS_BASELINE, Model
from aquifer.models.scorer import Scorer
from aquifer.models.segmenter import DISTANCE, SEGMENT_OF, STABLE, Segmenter
from aquifer.models.segments import Segments, Space
from aquifer.models.training_set import (
    Part,
    Pinned,
    TrainingSet,
    inputs_of,
    joined,
    refuse_poor,
)
from aquifer.models.tuning import Choice, Tuning
from aquifer.runtime import Runtime

STARTS = 4
"""From how many first guesses k-means goes on; the best end is taken."""

RESAMPLES = 20
LEAST_OF_RESAMPLES = 0.05
"""The quantile of the resamples' agreement that has to be great enough."""


@dataclass(frozen=True)
class Segmentation(Learner):
    """The learner of a segmenter."""

    segmenter: Segmenter

    @property
    def model(self) -> Model:
        return self.segmenter

    @property
    def loss(self) -> str:
        return "squared distance"

    def output_categories(self, data: TrainingSet) -> Mapping[str, Sequence[str]]:
        return {SEGMENT_OF: self.segmenter.segments}

    def training_set(self, runtime: Runtime, pinned: Pinned) -> TrainingSet:
        model = self.segmenter
        examples = pinned.with_tables(model.tables, model.examples)
        rows = joined(runtime, pinned, examples, model.features)
        inputs = [e for view, names in model.features.items() for e in inputs_of(view, names)]
        found = TrainingSet(rows, inputs, model.split, pinned.versions)
        refuse_poor(model.name, found, model.least_examples)
        kinds = len(np.unique(found.training.matrix, axis=0))
        if kinds < len(model.segments):
            raise TrainingError(
                f"{model.name} would find {len(model.segments)} segments among examples of "
                f"{kinds} kinds; look at what its features are computed from"
            )
        return found

    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        # The names say how many segments there are.
        return Choice("k-means", {"clusters": len(self.segmenter.segments)}, 0)

    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        segments = self._segments(data.training.matrix)
        return Fitted(segments.graph(), segments)

    def _segments(self, matrix: np.ndarray) -> Segments:
        model, space = self.segmenter, Space.of(matrix)
        means = KMeans(len(model.segments), n_init=STARTS, random_state=SEED)
        # With several threads, sums are in the order in which these come to their end.
        with threadpool_limits(limits=1):
            centres = means.fit(space.places(matrix)).cluster_centers_
        names = [*model.naming(centres)]
        return Segments(space, centres[[names.index(name) for name in model.segments]])

    def baseline(self, data: TrainingSet) -> Outputs:
        """Cells of quantiles."""
        space, cells = Space.of(data.training.matrix), self.segmenter.cells
        known, asked = (space.places(part.matrix) for part in (data.training, data.holdout))
        return self._told_by(data, cells(known, known), cells(known, asked))

    def held(self, champion: Scorer, data: TrainingSet) -> Outputs:
        """A champion tells distances in a space of its own: here they are of this one."""
        learned = data.seen_by(data.training, champion.inputs)
        known, asked = (
            champion.predict(part.matrix)[SEGMENT_OF]
            for part in (learned, data.holdout_of(champion.inputs))
        )
        return self._told_by(data, known, asked)

    def _told_by(self, data: TrainingSet, known: np.ndarray, asked: np.ndarray) -> Outputs:
        """A division of the holdout, each segment's centre the mean of what is learned from."""
        space = Space.of(data.training.matrix)
        places = space.places(data.training.matrix)
        # Of a segment that nothing was in, the centre is that of all.
        centres = np.zeros((len(self.segmenter.segments), places.shape[1]))
        for segment in np.unique(known):
            centres[segment] = places[known == segment].mean(axis=0)
        apart = space.places(data.holdout.matrix) - centres[asked]
        return {SEGMENT_OF: asked, DISTANCE: np.linalg.norm(apart, axis=1)}

    def losses(self, found: Outputs, part: Part) -> Floats:
        return np.asarray(found[DISTANCE].astype(np.float64) ** 2, dtype=np.float64)

    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        sizes = np.bincount(found[SEGMENT_OF], minlength=len(self.segmenter.segments))
        return {"smallest_share": float(sizes.min() / len(part))}

    def verdicts(
        self, data: TrainingSet, found: Outputs, baseline: Outputs, champion: Scorer | None
    ) -> Iterator[Gate]:
        part = data.holdout
        yield self._stable(data, found, champion)
        losses, before = self.losses(found, part), self.losses(baseline, part)
        yield gates.better(BEATS_BASELINE, "the baseline", before, losses, self.groups(part))

    def _stable(self, data: TrainingSet, found: Outputs, champion: Scorer | None) -> Gate:
        least, segments = self.segmenter.least_agreement, found[SEGMENT_OF]
        agreed = [
            adjusted_rand_score(segments, self._segments(matrix).nearest(data.holdout.matrix))
            for matrix in self._resamples(data.training)
        ]
        values = {"resamples": float(np.quantile(agreed, LEAST_OF_RESAMPLES))}
        told = (
            f"{1 - LEAST_OF_RESAMPLES:.0%} of the resamples divide alike by "
            f"{values['resamples']:.3f} or more"
        )
        if champion is not None:
            held = self.held(champion, data)[SEGMENT_OF]
            values["champion"] = float(adjusted_rand_score(held, segments))
            values["same_name"] = float((held == segments).mean())
            told += (
                f", and version {champion.version}, the champion, by {values['champion']:.3f}, "
                f"with the same name for {values['same_name']:.1%}"
            )
        kept = min(values["resamples"], values.get("champion", 1.0)) >= least
        return Gate(STABLE, kept, f"{told}; {least} is asked for", values)

    def _resamples(self, part: Part) -> Iterator[np.ndarray]:
        """Rows of entities that are drawn with replacement, all of one together."""
        _, entity = np.unique(np.asarray(self.groups(part)), return_inverse=True)
        order = np.argsort(entity, kind="stable")
        rows = np.split(order, np.cumsum(np.bincount(entity))[:-1])
        drawn = np.random.default_rng(SEED)
        for _ in range(RESAMPLES):
            chosen = drawn.integers(0, len(rows), len(rows))
            yield part.matrix[np.concatenate([rows[each] for each in chosen])]

    def groups(self, part: Part) -> Sequence[str]:
        columns = (part.column(name) for name in self.model.entity)
        return [entity_key(values) for values in zip(*columns, strict=True)]

    def figures(self, fitted: Fitted, found: Outputs, data: TrainingSet) -> Mapping[str, Figure]:
        names = [each.name for each in data.inputs]
        segments = np.asarray(self.segmenter.segments)[found[SEGMENT_OF]]
        return {"segments": figures.segments(data.holdout.matrix, segments, names)}
