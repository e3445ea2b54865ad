"""What is asked of the model service: bodies of requests, and what a model sees of them.

Belongs here: features that are given or looked up, and what is wrong with them. Does not: scoring
and answering (`service`).
"""

import re
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from aquifer.contract import contract_fields
from aquifer.features.online import OnlineStore, online_features
from aquifer.features.view import FeatureView
from aquifer.models.model import Model
from aquifer.models.scorer import InputError, Scorer

MOST_ROWS = 1_000
"""Of one request."""


class Ask(BaseModel):
    """An entity, features, or both: features that are not given are those of the entity."""

    model_config = ConfigDict(extra="forbid")

    entity: dict[str, str | int] | None = Field(
        None, description="Whom it is about, by column.", examples=[{"customer_id": "12347"}]
    )
    features: dict[str, Any] | None = Field(
        None, description="Values of inputs, by name.", examples=[{"recency_days": 3}]
    )


Batch = Annotated[list[Ask], Field(min_length=1, max_length=MOST_ROWS)]

ONE, MANY = "one", "many"

Body = Annotated[
    Annotated[Ask, Tag(ONE)] | Annotated[Batch, Tag(MANY)],
    Discriminator(lambda body: MANY if isinstance(body, list) else ONE),
]
"""One, or a list of them."""


class BadInput(Exception):
    """Something in a request that cannot be taken.

    Attributes:
        row: its place among what was asked.
        field: where it stands within that, such as `features`, `recency_days`.
        problem: what is wrong with it.
    """

    def __init__(self, row: int, field: Sequence[str], problem: str) -> None:
        super().__init__(f"{'.'.join(field)}: {problem}")
        self.row = row
        self.field = field
        self.problem = problem


@dataclass(frozen=True)
class Row:
    """What a model is given.

    Attributes:
        entity: whom it is about, if that was said.
        inputs: the value of each input.
        event_time: the instant at which what was looked up held, if anything was.
    """

    entity: Mapping[str, Any] | None
    inputs: Mapping[str, Any]
    event_time: str | None


class Lookup:
    """Looks features up where they are online.

    Args:
        store: the online store, of this thread.
    """

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(8, "online store") if store.remote else None

    async def rows(self, model: Model, scorer: Scorer, asks: Sequence[Ask]) -> list[Row | None]:
        """What each of some requests gives to a model; None for an entity that is not known.

        Raises:
            BadInput: an entity or a name of a feature that the model has not, with its place.
            PassingError: the online store does not answer.
        """
        names = [each.name for each in scorer.inputs]
        for n, ask in enumerate(asks):
            _check(model, names, n, ask)
        known = await self._known(model, names, asks)
        return [_row(names, ask, held) for ask, held in zip(asks, known, strict=True)]

    async def _known(
        self, model: Model, names: Sequence[str], asks: Sequence[Ask]
    ) -> list[list[Mapping[str, Any] | None]]:
        """What is known of each entity, by view; nothing of one whose features are all given."""
        known: list[list[Mapping[str, Any] | None]] = [[] for _ in asks]
        asked = [
            n
            for n, ask in enumerate(asks)
            if ask.entity is not None and not {*names} <= (ask.features or {}).keys()
        ]
        if asked:
            for view in model.features:
                told = [n for n in asked if {*view.entity} <= (asks[n].entity or {}).keys()]
                entities = [[(asks[n].entity or {})[c] for c in view.entity] for n in told]
                for n, held in zip(told, await self._features(view, entities), strict=True):
                    known[n].append({} if held is None and model.takes_unknown else held)
        return known

    async def _features(
        self, view: FeatureView, entities: Sequence[Sequence[Any]]
    ) -> Sequence[Mapping[str, Any] | None]:
        ask = partial(online_features, self._store, view.name, entities)
        if self._threads is None:
            return ask()
        return await get_running_loop().run_in_executor(self._threads, ask)


def matrix(scorer: Scorer, rows: Sequence[Row], places: Sequence[int]) -> np.ndarray:
    """What a model sees of rows.

    Args:
        places: of each row, its place among what was asked.

    Raises:
        BadInput: a value that the model cannot take.
    """
    seen = []
    for place, row in zip(places, rows, strict=True):
        try:
            seen.append(scorer.matrix([row.inputs]))
        except InputError as error:
            raise BadInput(place, ["features", error.field], error.problem) from error
    return np.concatenate(seen)


def _check(model: Model, names: Sequence[str], place: int, ask: Ask) -> None:
    if ask.entity is None and ask.features is None:
        raise BadInput(place, [], "give an entity, features, or both")
    for name in ask.features or ():
        if name not in names:
            raise BadInput(
                place, ["features", name], f"{model.name} takes no such input; {_listed(names)}"
            )
    if ask.entity is None:
        return
    columns = _types(model)
    for name in ask.entity.keys() - columns.keys():
        raise BadInput(
            place,
            ["entity", name],
            f"{model.name} is not about such a column; {_listed([*columns])}",
        )
    for name, kind in columns.items():
        if name not in ask.entity:
            if model.takes_unknown:
                continue
            raise BadInput(place, ["entity", name], "it is missing")
        value = ask.entity[name]
        # Half a surrogate pair is text to JSON, and cannot be looked up.
        if not isinstance(value, kind) or SURROGATE.search(str(value)):
            raise BadInput(place, ["entity", name], f"it has to be {WORDS[kind]}")


SURROGATE = re.compile("[\ud800-\udfff]")

WORDS: Mapping[type, str] = {str: "text", int: "a whole number"}


def _types(model: Model) -> dict[str, type]:
    """The type of each column of the entity of a model."""
    contracts = [model.contract, *(view.contract for view in model.features)]
    columns = {field.name: field for each in contracts for field in contract_fields(each)}
    return {n: str if columns[n].spark_type == "string" else int for n in model.looked_up_by}


def _row(names: Sequence[str], ask: Ask, known: Sequence[Mapping[str, Any] | None]) -> Row | None:
    held: dict[str, Any] = {}
    times = []
    for features in known:
        if features is None:
            return None
        held |= features
        times += [features["event_time"]] if features else []
    inputs = {name: held.get(name) for name in names} | (ask.features or {})
    return Row(ask.entity, inputs, min(times, default=None))


def _listed(names: Sequence[str]) -> str:
    return f"it has {', '.join(names)}"
