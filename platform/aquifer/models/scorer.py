"""The scorer: what a model predicts, from its bundle alone.

It needs onnxruntime and numpy and nothing of the platform, as `aquifer model export` puts this file
into each bundle. Training, batch, stream and service score with it, too, so that one value of a
feature is one input of the model everywhere.

A bundle is a folder with `model.onnx` and `model.json`: name and version, inputs in order and
outputs, each with its categories if it is no number, the `threshold` from which on the first output
is acted upon, if there is one, and the SHA-256 of `model.onnx`. Categories are a list, or the name
of an input before that has the same.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as refused

GRAPH, MANIFEST = "model.onnx", "model.json"

GREATEST = float(np.finfo(np.float32).max)

UNUSABLE = (
    *(refused.Fail, refused.InvalidArgument, refused.InvalidGraph, refused.InvalidProtobuf),
    *(refused.NoModel, refused.NotImplemented, refused.RuntimeException),
)
"""What onnxruntime raises of a graph that is none; they have no base of their own."""


class BundleError(ValueError):
    """A bundle that cannot be used."""


class InputError(ValueError):
    """A value that the model cannot take.

    Attributes:
        field: the name of the input.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class NotFinite(ValueError):
    """The model has come to no number."""


class Input:
    """An input of a model: a number, or one of some categories.

    Null, and a category that was not there when the model learned, is NaN to the model.

    Args:
        name: of the feature.
        categories: its values, if it is no number; the model sees their places.
        nullable: whether it may be absent.
    """

    def __init__(
        self, name: str, categories: Sequence[str] | None = None, *, nullable: bool = True
    ) -> None:
        self.name = name
        self.categories = None if categories is None else [*categories]
        self.nullable = nullable
        self._places = {value: float(n) for n, value in enumerate(self.categories or ())}

    def number(self, value: Any) -> float:
        """What the model sees of a value.

        Raises:
            InputError: it is absent and must not be, or of another type.
        """
        if value is None:
            if self.nullable:
                return math.nan
            raise InputError(self.name, "it is null, and has to be given")
        if self.categories is not None:
            if not isinstance(value, str):
                raise InputError(self.name, f"{value!r} is no text")
            return self._places.get(value, math.nan)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(self.name, f"{value!r} is no number") from error
        # The model sees float32, in which a greater number is infinite.
        if not abs(number) <= GREATEST:
            raise InputError(self.name, f"{value!r} is not finite, or too great")
        return number

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"name": self.name, "categories": self.categories, "nullable": self.nullable}


class Scorer:
    """A model that is loaded.

    Args:
        graph: the ONNX graph: one input of shape (rows, inputs) of float32; outputs by name, of
            shape (rows) or (rows, n), numbers or the places of categories.
        manifest: what `model.json` says.
        threads: of the processor for one call.

    Raises:
        BundleError: the graph is no ONNX, or not the one that the manifest was written for.
    """

    def __init__(self, graph: bytes, manifest: Mapping[str, Any], *, threads: int = 1) -> None:
        self.manifest = manifest
        self.inputs: list[Input] = []
        for each in manifest["inputs"]:
            categories = self._listed(each["categories"])
            self.inputs.append(Input(each["name"], categories, nullable=each["nullable"]))
        self.categories: dict[str, Sequence[str] | None] = {
            each["name"]: self._listed(each["categories"]) for each in manifest["outputs"]
        }
        self.outputs = list(self.categories)
        found = hashlib.sha256(graph).hexdigest()
        if found != manifest["sha256"]:
            raise BundleError(
                f"{self.name}: {GRAPH} has the checksum {found[:12]}, and should have "
                f"{manifest['sha256'][:12]}; it is damaged, export it again"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except UNUSABLE as error:
            raise BundleError(f"{self.name}: {GRAPH} cannot be loaded: {error}") from error
        self._given = self._session.get_inputs()[0].name

    def _listed(self, categories: Sequence[str] | str | None) -> Sequence[str] | None:
        if not isinstance(categories, str):
            return categories
        return next(each.categories for each in self.inputs if each.name == categories)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> "Scorer":
        """The model of a bundle.

        Raises:
            BundleError: a file is missing or damaged.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            graph = (folder / GRAPH).read_bytes()
        except (OSError, ValueError) as error:
            raise BundleError(f"{folder} holds no whole bundle: {error}") from error
        return cls(graph, manifest, threads=threads)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.manifest["name"])

    @property
    def version(self) -> str:
        """The model's version in the registry."""
        return str(self.manifest["version"])

    @property
    def threshold(self) -> float | None:
        """From which value on the first output is acted upon, if it is to be."""
        threshold = self.manifest.get("threshold")
        return None if threshold is None else float(threshold)

    def matrix(self, rows: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """What the model sees of rows, each with a value by input; shape (rows, inputs).

        Raises:
            InputError: a value that the model cannot take.
        """
        seen = [[each.number(row.get(each.name)) for each in self.inputs] for row in rows]
        return np.asarray(seen, dtype=np.float32).reshape(len(seen), len(self.inputs))

    def predict(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """Each output for each row of a matrix.

        Raises:
            NotFinite: one of them is no finite number.
        """
        found = self._session.run(self.outputs, {self._given: matrix})
        for name, values in zip(self.outputs, found, strict=True):
            if not np.isfinite(values).all():
                raise NotFinite(f"{self.name} {self.version} predicts a {name} that is no number")
        return dict(zip(self.outputs, found, strict=True))

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Each output by name, a row for each of `rows`; categories by what they are called."""
        return self.rows(self.predict(self.matrix(rows)))

    def rows(self, found: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        """Predictions by row; categories by what they are called."""
        columns = self.named(found).values()
        return [dict(zip(self.outputs, row, strict=True)) for row in zip(*columns, strict=True)]

    def named(self, found: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
        """Predictions as plain values; categories by what they are called."""
        named = {}
        for name, values in found.items():
            categories = self.categories[name]
            if categories is None:
                named[name] = values.tolist()
            else:
                named[name] = np.asarray(categories, dtype=object)[values.astype(int)].tolist()
        return named
