"""Recommendation: how recommenders learn and are measured.

Belongs here: questions that baskets ask and how good answers are. Does not: how items are found
(`neighbours`), and which baskets those are (the model's module).

A basket is divided, by hash, into groups of the items that are given and one more, which is asked
for: of a large basket several are, of the last few items of it one, given the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from aquifer.features.view import EVENT_TIME
from aquifer.models import figures, neighbours
from aquifer.models.errors import TrainingError
from aquifer.models.evaluation import Floats
from aquifer.models.learner import Fitted, Learner, Outputs
from aquifer.models.model import Model
from aquifer.models.recommender import ITEMS, SCORES, Recommender
from aquifer.models.scorer import Input, Scorer
from aquifer.models.training_set import Part, Pinned, TrainingSet, refuse_few
from aquifer.models.tuning import Choice, Tuning
from aquifer.runtime import Runtime

BASKET, WANTED, PLACE = "basket", "wanted", "place"


@dataclass(frozen=True)
class Baskets(TrainingSet):
    """Questions, and the baskets to learn from.

    Attributes:
        runtime: the engine, which learns.
        baskets: SQL of all baskets, as of the pinned versions.
        items: what is in the baskets before the holdout.
    """

    runtime: Runtime
    baskets: str
    items: Sequence[str]

    @property
    def upto(self) -> date:
        """The last day that is learned from: a basket is at the beginning of its day."""
        return self.holdout_begins.date()


@dataclass(frozen=True)
class Recommendation(Learner):
    """The learner of a recommender."""

    recommender: Recommender

    @property
    def model(self) -> Model:
        return self.recommender

    @property
    def loss(self) -> str:
        return f"miss rate at {self.recommender.shown}"

    def output_categories(self, data: TrainingSet) -> Mapping[str, Sequence[str]]:
        return {ITEMS: data.inputs[0].categories or []}

    def training_set(self, runtime: Runtime, pinned: Pinned) -> TrainingSet:
        model = self.recommender
        baskets = pinned.with_tables(model.tables, model.baskets)
        query = QUESTIONS.format(baskets=baskets, group=model.given + 1, given=self._given())
        rows = runtime.session.sql(query).toArrow()
        rows = rows.sort_by([(name, "ascending") for name in (EVENT_TIME, BASKET, "question")])
        bare = TrainingSet(rows, [], model.split, pinned.versions)
        if not len(rows):
            raise TrainingError(f"{model.name} would learn from no basket of two items or more")
        upto = bare.holdout_begins.date()
        sold = runtime.session.sql(ITEMS_SOLD.format(baskets=baskets, upto=upto)).toArrow()
        items = sorted(sold["item"].to_pylist())
        least = model.shown + model.given
        if len(items) < least:
            raise TrainingError(
                f"{model.name} would choose {model.shown} of {len(items)} items, and needs {least} "
                "in the baskets before the holdout: wait for more"
            )
        # What was not sold before can be wanted, and no answer is right.
        new = sorted({*rows[WANTED].to_pylist()}.difference(items))
        places = pc.index_in(rows[WANTED], pa.array([*items, *new], pa.string()))
        rows = rows.append_column(PLACE, places)
        inputs = [Input(name, items) for name in model.takes]
        found = Baskets(rows, inputs, model.split, pinned.versions, runtime, baskets, items)
        refuse_few(model.name, found, model.least_examples)
        return found

    def _given(self) -> str:
        """The items of a group that are given, as columns; the one before them is asked for."""
        return ", ".join(
            f"max(case when pmod(place, {len(self.recommender.takes) + 1}) = {n} then item end)"
            f" as {name}"
            for n, name in enumerate(self.recommender.takes, 1)
        )

    def tune(self, data: TrainingSet, tuning: Tuning) -> Choice:
        # What there is to choose makes less difference than one month from another.
        return Choice("item-item cosine", {"neighbours": neighbours.KEPT}, 0)

    def fit(self, data: TrainingSet, choice: Choice) -> Fitted:
        assert isinstance(data, Baskets)
        near = neighbours.found(data.runtime, data.baskets, data.upto, data.items)
        return Fitted(near.graph(self.recommender.given, self.recommender.shown), near)

    def baseline(self, data: TrainingSet) -> Outputs:
        """What is in most baskets lately, but for what is given."""
        assert isinstance(data, Baskets)
        popularity = neighbours.popular(data.runtime, data.baskets, data.upto, data.items)
        given, shown = self.recommender.given, self.recommender.shown
        most = np.argsort(-popularity, kind="stable")[: given + shown]
        taken = (most[np.newaxis, :, np.newaxis] == data.holdout.matrix[:, np.newaxis]).any(axis=2)
        items = most[np.argsort(taken, axis=1, kind="stable")[:, :shown]]
        return {ITEMS: items, SCORES: popularity[items].astype(np.float32)}

    def held(self, champion: Scorer, data: TrainingSet) -> Outputs:
        """A champion has learned from other items: theirs are told in the places of these."""
        found = super().held(champion, data)
        known = {item: place for place, item in enumerate(self.output_categories(data)[ITEMS])}
        places = np.array([known.get(item, -1) for item in champion.categories[ITEMS] or ()])
        return {**found, ITEMS: places[found[ITEMS]]}

    def losses(self, found: Outputs, part: Part) -> Floats:
        return np.asarray(~_hits(found, part).any(axis=1), dtype=np.float64)

    def metrics(self, found: Outputs, part: Part) -> Mapping[str, float]:
        hits = _hits(found, part)
        shown = self.recommender.shown
        return {
            f"recall_at_{shown}": float(hits.any(axis=1).mean()),
            "mean_reciprocal_rank": float((hits / np.arange(1, shown + 1)).sum(axis=1).mean()),
            "items_shown": float(len(np.unique(found[ITEMS]))),
        }

    def groups(self, part: Part) -> Sequence[str]:
        return part.column(BASKET)

    def figures(self, fitted: Fitted, found: Outputs, data: TrainingSet) -> Mapping[str, Figure]:
        shares = {
            name: np.cumsum(_hits(outputs, data.holdout).mean(axis=0)).tolist()
            for name, outputs in (("model", found), ("popularity", self.baseline(data)))
        }
        return {"recall": figures.recall(shares)}


def _hits(found: Outputs, part: Part) -> np.ndarray:
    """Whether each item that is shown is the one that was wanted; shape (rows, shown)."""
    return np.asarray(found[ITEMS] == part.label(PLACE)[:, np.newaxis])


QUESTIONS = """
    with placed as (
        select basket, item, at, count(*) over (partition by basket) as size,
            row_number() over (partition by basket order by md5(concat(basket, ' ', item)), item)
                - 1 as place
        from ({baskets})
    )
    select basket, cast(floor(place / {group}) as bigint) as question,
        cast(max(at) as timestamp) as event_time,
        case when max(size) <= 6 then 'up to 6 items' when max(size) <= 20 then '7 to 20 items'
            else 'more than 20 items' end as segment,
        max(case when pmod(place, {group}) = 0 then item end) as wanted,
        {given}
    from placed
    group by basket, floor(place / {group})
    having count(*) > 1
"""

ITEMS_SOLD = "select distinct item from ({baskets}) where at <= date'{upto}'"
