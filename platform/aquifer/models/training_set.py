"""Training sets: what a model learns from, at versions of its tables that stay what they are.

Belongs here: examples joined with the features that were known, and their division by time. Does
not: what is learned (`learner`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aquifer.contract import ContractField, Record, contract_fields, schema_of
from aquifer.features.point_in_time import point_in_time_join
from aquifer.features.view import EVENT_TIME, FeatureView
from aquifer.lake import DELETED, Lake
from aquifer.models.errors import TrainingError
from aquifer.models.evaluation import Floats
from aquifer.models.model import Split
from aquifer.models.scorer import Input
from aquifer.runtime import Runtime

TRAINING, HOLDOUT = "training", "holdout"
SEGMENT = "segment"


@dataclass(frozen=True)
class Pinned:
    """Tables at the versions that they had when a training began: what changes since is not seen.

    Args:
        versions: by name.
    """

    lake: Lake
    versions: Mapping[str, int]

    @classmethod
    def now(cls, lake: Lake, names: Iterable[str]) -> "Pinned":
        """Tables as of now.

        Raises:
            TrainingError: one does not exist.
        """
        wanted = sorted({*names})
        missing = [name for name in wanted if not lake.exists(name)]
        if missing:
            raise TrainingError(
                f"{', '.join(missing)} does not exist yet, and a model is to learn from it; "
                "materialise it first"
            )
        return cls(lake, {name: lake.version(name) for name in wanted})

    def relation(self, name: str) -> str:
        """SQL of a table's live rows."""
        live = DELETED in {field.name for field in self.lake.table(name).schema().fields}
        where = f" where not {DELETED}" if live else ""
        place = self.lake.uri(name)
        return f"select * from delta.`{place}` version as of {self.versions[name]}{where}"

    def with_tables(self, names: Iterable[str], query: str) -> str:
        """A query over tables that it names without their layer."""
        tables = (f"{name.partition('.')[2]} as ({self.relation(name)})" for name in names)
        return f"with {', '.join(tables)} select * from ({query})"


@dataclass(frozen=True)
class Part:
    """Some examples of a training set.

    Attributes:
        rows: with the entity, the instant, the segment and the labels.
        matrix: what a model sees of them; shape (rows, inputs) of float32.
    """

    rows: pa.Table
    matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.matrix)

    def label(self, name: str) -> Floats:
        """A label of each row."""
        return np.asarray(self.rows[name].cast(pa.float64()).to_numpy(), dtype=np.float64)

    def column(self, name: str) -> list[Any]:
        """A column that is no label."""
        values: list[Any] = self.rows[name].to_pylist()
        return values


@dataclass(frozen=True)
class TrainingSet:
    """Examples with their features, in order of time and entity.

    Attributes:
        rows: with the entity, `event_time`, `segment`, labels and features.
        inputs: what a model is given.
        split: how they are divided.
        versions: of the tables that they were made from.
    """

    rows: pa.Table
    inputs: Sequence[Input]
    split: Split
    versions: Mapping[str, int]

    @cached_property
    def holdout_begins(self) -> datetime:
        """The first instant that is held out."""
        last: datetime = pc.max(self.rows[EVENT_TIME]).as_py() or datetime.max.replace(tzinfo=UTC)
        return last - self.split.holdout + timedelta(microseconds=1)

    @cached_property
    def training(self) -> Part:
        """What is learned from: its labels are known before the holdout begins."""
        return self.between(None, self.holdout_begins - self.split.horizon)

    @cached_property
    def holdout(self) -> Part:
        """What is measured on."""
        return self.between(self.holdout_begins, None)

    def folds(self) -> list[tuple[Part, Part]]:
        """What to learn from and to validate on, for tuning, all of it before the holdout."""
        found = []
        for back in range(self.split.folds, 0, -1):
            upto = self.holdout_begins - self.split.horizon - (back - 1) * self.split.holdout
            begins = upto - self.split.holdout
            pair = self.between(None, begins - self.split.horizon), self.between(begins, upto)
            if all(map(len, pair)):
                found.append(pair)
        return found

    def between(self, begin: datetime | None, end: datetime | None) -> Part:
        """The examples from an instant on, up to another."""
        at = self.rows[EVENT_TIME]
        within = np.ones(len(self.rows), dtype=bool)
        if begin is not None:
            within &= pc.greater_equal(at, pa.scalar(begin, at.type)).to_numpy()
        if end is not None:
            within &= pc.less(at, pa.scalar(end, at.type)).to_numpy()
        return _part(self.rows.filter(pa.array(within)), self.inputs)

    def holdout_of(self, inputs: Sequence[Input]) -> Part:
        """What is measured on, as a model with other inputs sees it.

        Raises:
            TrainingError: one of them is not there.
        """
        return self.seen_by(self.holdout, inputs)

    def seen_by(self, part: Part, inputs: Sequence[Input]) -> Part:
        """A part, as a model with other inputs sees it.

        Raises:
            TrainingError: one of them is not there.
        """
        missing = [each.name for each in inputs if each.name not in self.rows.column_names]
        if missing:
            raise TrainingError(
                f"the champion takes {', '.join(missing)}, which is computed no more, and cannot "
                "be compared; promote a version by hand"
            )
        return _part(part.rows, inputs)


def _part(rows: pa.Table, inputs: Sequence[Input]) -> Part:
    return Part(rows, np.column_stack([encoded(rows[each.name], each) for each in inputs]))


def encoded(values: pa.ChunkedArray, each: Input) -> np.ndarray:
    """What a model sees of a column; as `Input.number`, for many values at once."""
    if each.categories is not None:
        places = pc.index_in(values.cast(pa.string()), pa.array(each.categories, pa.string()))
        values = places
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.float32)


class Described(Protocol):
    """Features that a contract describes."""

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> type[Record]: ...

    @property
    def features(self) -> Sequence[str]: ...


def inputs_of(view: Described, features: Iterable[str]) -> list[Input]:
    """The inputs that features are, as the contract of their view describes them.

    Raises:
        TrainingError: there is no such feature, or it is text of any kind.
    """
    fields = {field.name: field for field in contract_fields(view.contract)}
    return [_input(view, fields, name) for name in features]


def _input(view: Described, fields: Mapping[str, ContractField], name: str) -> Input:
    field = fields.get(name)
    if field is None or name not in view.features:
        raise TrainingError(f"{view.name} has no feature '{name}'; it has {view.features}")
    if field.spark_type != "string":
        return Input(name, nullable=field.nullable)
    for check in schema_of(view.contract).columns[name].checks:
        if check.name == "isin":
            return Input(name, list(check.statistics["allowed_values"]), nullable=field.nullable)
    raise TrainingError(f"{view.name}.{name} is text; give it `isin`, the categories that it has")


def joined(
    runtime: Runtime,
    pinned: Pinned,
    examples: str,
    features: Mapping[FeatureView, Sequence[str]],
) -> pa.Table:
    """Examples with the features that were known at their instants, in order.

    Args:
        examples: SQL of rows with the entity of each view and `event_time`.
    """
    session = runtime.session
    with runtime.staging() as place:
        asked = rows = session.table(runtime.stage(examples, place, "joined"))
        for view, names in features.items():
            held = session.sql(pinned.relation(view.name))
            known = held.select(*view.entity, EVENT_TIME, *names)
            at = [*view.entity, EVENT_TIME]
            # Of the examples, not of what is joined so far, which would be computed twice a view.
            moments = asked.select(*at).dropna().distinct()
            joint = point_in_time_join(moments, known, entity=view.entity, within=view.within)
            rows = rows.join(joint, at, "left")
        found: pa.Table = rows.toArrow()
    return found.sort_by([(name, "ascending") for name in _order(found, features)])


def _order(rows: pa.Table, features: Mapping[FeatureView, Sequence[str]]) -> list[str]:
    entity = dict.fromkeys(column for view in features for column in view.entity)
    return [EVENT_TIME, *entity, *(name for name in ("event_id",) if name in rows.column_names)]


def refuse_poor(name: str, found: TrainingSet, least: int) -> None:
    """Refuse a training set from which nothing can be learned.

    Raises:
        TrainingError: there are too few examples, or a feature has no value at all.
    """
    refuse_few(name, found, least)
    empty = [
        each.name
        for place, each in enumerate(found.inputs)
        if np.isnan(found.training.matrix[:, place]).all()
    ]
    if empty:
        raise TrainingError(
            f"{name} would learn from {', '.join(empty)}, which is null in every example; look at "
            "what it is computed from"
        )


def refuse_few(name: str, found: TrainingSet, least: int) -> None:
    """Refuse a training set that is too small to learn from, or to measure on.

    Raises:
        TrainingError: it is.
    """
    for part, rows in ((TRAINING, found.training), (HOLDOUT, found.holdout)):
        if len(rows) < least:
            raise TrainingError(
                f"{name} has {len(rows):,} examples for {part}, and needs {least:,}; it takes "
                f"labels of {found.split.horizon.days} days and a holdout of "
                f"{found.split.holdout.days}: wait for more days"
            )
