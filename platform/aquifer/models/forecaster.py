"""Forecasters: models of how much there will be in each of the next weeks, as they are declared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aquifer.models.model import Model, Split

if TYPE_CHECKING:
    from aquifer.models.learner import Learner

QUANTILES = (0.1, 0.5, 0.9)
"""Of what is forecast, in ascending order."""

LEAST_LEVEL = 0.25
"""The level of an entity is this at least, when amounts are divided by it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Forecaster(Model):
    """A model of the amount in each of the next weeks: its quantiles, never negative.

    It learns ratios to the level of an entity, from all entities at once, so that what holds for
    large ones is told of small ones, too.

    Args:
        examples: SQL over `tables`, named without their layer; rows with an entity, `event_time`,
            `segment`, `scale` (the amount by which its losses are divided), and the amounts
            `week_1`, `week_2`, ... that came. One an entity and instant.
        tables: the tables that examples are made from.
        split: how examples are divided by time.
        amount: what is forecast, such as units: it begins the names of the outputs.
        history: the features of the amounts of past weeks, the last week first.
        level: the feature of the mean amount.
        amounts: the other features that are amounts.
        ahead: features that are known of each week to come, the first week first; by name.
        weeks: how many weeks are forecast.
    """

    examples: str
    tables: Sequence[str]
    split: Split
    amount: str
    history: Sequence[str]
    level: str
    amounts: Sequence[str]
    ahead: Sequence[Sequence[str]]
    weeks: int = 4

    @property
    def upstreams(self) -> Sequence[str]:
        return [*self.tables, *(view.name for view in self.features)]

    @property
    def code(self) -> str:
        features = {view.name: [*names] for view, names in self.features.items()}
        roles = (self.history, self.level, self.amounts, self.ahead)
        return f"{self.examples} {features} {self.split} {roles} {self.weeks}"

    @property
    def outputs(self) -> Sequence[str]:
        return [self.output(week, q) for week in range(1, self.weeks + 1) for q in QUANTILES]

    def output(self, week: int, quantile: float) -> str:
        """The name of a quantile of a week."""
        return f"{self.amount}_{week}w_p{quantile * 100:.0f}"

    def learner(self) -> "Learner":
        from aquifer.models.forecasting import Forecasting

        return Forecasting(self)
