"""Batch scoring: the predictions of a champion, kept up with the features of its entities.

Belongs here: which entities are scored anew, and the commit of what came of it. Does not: how one
is scored (`scorer`).

A row of predictions carries a hash of what the model saw. Only entities whose hash or model is
another are scored. One that has no features any more keeps its row, marked `_deleted`.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from aquifer.advance import Advance
from aquifer.contract import arrow_schema
from aquifer.features.view import EVENT_TIME
from aquifer.lake import DELETED, Lake
from aquifer.masking import sample_markdown
from aquifer.models.errors import RegistryError
from aquifer.models.model import Model, predictions_of
from aquifer.models.registry import CHAMPION, Registry
from aquifer.models.scorer import Scorer
from aquifer.models.training_set import encoded

SEEN = "_seen"
"""The hash of what the model saw."""


def score(model: Model, lake: Lake, registry: Registry) -> Advance:
    """Bring a model's predictions up to date with its champion and its entities' features.

    Raises:
        RegistryError: there is no champion, or it cannot be used.
    """
    started = time.monotonic()
    name = predictions_of(model)
    version = registry.version(model.name, CHAMPION)
    if version is None:
        raise RegistryError(f"{model.name} has no champion; materialise models/{model.name}")
    scorer = registry.scorer(model.name, version)
    with lake.lease([name]):
        lake.ensure(name, _schema(model))
        versions = {view.name: lake.version(view.name) for view in model.features}
        rows = model.asked(lake)
        matrix = matrix_of(rows, scorer)
        seen = _hashes(matrix)
        before = lake.read(name)
        held = dict(zip(_entities(model, before), before.to_pylist(), strict=True))
        entities = _entities(model, rows)
        stands = [
            _stands(held.get(entity), version, hash_)
            for entity, hash_ in zip(entities, seen.tolist(), strict=True)
        ]
        changed = np.flatnonzero(~np.array(stands, dtype=bool))
        gone = [
            {**held[entity], DELETED: True}
            for entity in held.keys() - {*entities}
            if not held[entity][DELETED]
        ]
        scored = _scored(
            model, scorer, rows.take(pa.array(changed)), matrix[changed], seen[changed]
        )
        told = [{**row, "feature_version": next(iter(versions.values()))} for row in scored]
        if told or gone:
            table = pa.Table.from_pylist([*told, *gone], _schema(model))
            lake.merge(name, table, model.entity, "true", {})
    return Advance(
        name,
        rows_in=len(entities),
        kept=len(entities),
        written=len(told) + len(gone),
        versions_read=versions,
        version=lake.version(name),
        sample=sample_markdown(lake.read(name).slice(0, 5), model.contract),
        seconds=time.monotonic() - started,
    )


def _schema(model: Model) -> pa.Schema:
    technical = [pa.field(SEEN, pa.int64()), pa.field(DELETED, pa.bool_())]
    return pa.schema([*arrow_schema(model.contract), *technical])


def _entities(model: Model, rows: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[column].to_pylist() for column in model.entity), strict=True))


def matrix_of(rows: pa.Table, scorer: Scorer) -> np.ndarray:
    """What a model sees of rows; shape (rows, inputs)."""
    return np.column_stack([encoded(rows[each.name], each) for each in scorer.inputs])


def _scored(
    model: Model, scorer: Scorer, rows: pa.Table, matrix: np.ndarray, seen: np.ndarray
) -> list[dict[str, Any]]:
    if not len(rows):
        return []
    outputs = scorer.named(scorer.predict(matrix))
    return [
        {
            **{column: row[column] for column in [*model.entity, EVENT_TIME]},
            **{name: values[place] for name, values in outputs.items()},
            "model_version": scorer.version,
            SEEN: int(seen[place]),
            DELETED: False,
        }
        for place, row in enumerate(rows.select([*model.entity, EVENT_TIME]).to_pylist())
    ]


def _stands(row: Mapping[str, Any] | None, version: str, seen: int) -> bool:
    """Whether a row is what the model would say now."""
    if row is None or row[DELETED]:
        return False
    return bool(row["model_version"] == version and row[SEEN] == seen)


def _hashes(matrix: np.ndarray) -> np.ndarray:
    """A hash of each row."""
    # Not a number is one value here, however it came to be.
    bits = np.where(np.isnan(matrix), np.float32(np.nan), matrix).view(np.uint32).astype(np.uint64)
    mixed = np.full(len(matrix), 0xCBF29CE484222325, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in bits.T:
            mixed = (mixed ^ column) * np.uint64(0x100000001B3)
            mixed ^= mixed >> np.uint64(29)
    return mixed.view(np.int64)
