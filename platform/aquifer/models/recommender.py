"""Recommenders: models of what goes with what is in a basket, as they are declared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from aquifer.lake import Lake
from aquifer.models.model import CALIBRATED, GATES, Model, Split

if TYPE_CHECKING:
    from aquifer.models.learner import Learner

ITEMS, SCORES = "items", "scores"


@dataclass(frozen=True, eq=False, kw_only=True)
class Recommender(Model):
    """A model of which items are bought together with given ones.

    What is in most baskets lately fills up where few items go with those that are given. Its one
    view of features has no features for it: it says which items batch scoring asks about, each
    alone.

    Args:
        baskets: SQL over `tables`, named without their layer; rows with `basket`, `item` and `at`,
            the day of the basket; an item is once in a basket.
        tables: the tables that baskets are made from.
        split: how baskets are divided by time; nothing is known later than its day.
        given: how many items it is given at most; none has to be.
        shown: how many it recommends.
    """

    baskets: str
    tables: Sequence[str]
    split: Split
    given: int = 5
    shown: int = 10

    @property
    def upstreams(self) -> Sequence[str]:
        return self.tables

    @property
    def code(self) -> str:
        return f"{self.baskets} {self.split} {self.given} {self.shown}"

    @property
    def outputs(self) -> Sequence[str]:
        return [ITEMS, SCORES]

    @property
    def alike(self) -> bool:
        return False

    @property
    def takes(self) -> Sequence[str]:
        """The names of its inputs."""
        return [f"item_{n + 1}" for n in range(self.given)]

    @property
    def gates(self) -> Mapping[str, str]:
        return {name: asked for name, asked in GATES.items() if name != CALIBRATED}

    def asked(self, lake: Lake) -> pa.Table:
        rows = super().asked(lake)
        (entity,) = self.entity
        first, *others = self.takes
        rows = rows.append_column(first, rows[entity])
        for name in others:
            rows = rows.append_column(name, pa.nulls(len(rows), pa.string()))
        return rows

    def learner(self) -> "Learner":
        from aquifer.models.recommendation import Recommendation

        return Recommendation(self)
