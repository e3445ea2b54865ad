"""Segments: where they lie, and the graph that tells in which one a row is."""

from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aquifer.models.evaluation import Floats
from aquifer.models.graphs import FEATURES, model_of
from aquifer.models.segmenter import DISTANCE, SEGMENT_OF


class Space(NamedTuple):
    """Standardised logarithms.

    Attributes:
        mean, scale: of the logarithms of each input.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Space":
        """The space in which these rows are standardised."""
        logs = _logs(matrix)
        spread = logs.std(axis=0)
        return cls(logs.mean(axis=0), np.where(spread > 0, spread, 1.0))

    def places(self, matrix: np.ndarray) -> Floats:
        """Where rows lie; shape (rows, inputs)."""
        return np.asarray((_logs(matrix) - self.mean) / self.scale, dtype=np.float64)


def _logs(matrix: np.ndarray) -> Floats:
    return np.log1p(np.maximum(matrix.astype(np.float64), 0))


class Segments(NamedTuple):
    """Segments that were found.

    Attributes:
        space: where they lie.
        centres: in the order of their names; shape (segments, inputs).
    """

    space: Space
    centres: Floats

    def nearest(self, matrix: np.ndarray) -> np.ndarray:
        """The segment of each row."""
        distances = squares(self.space.places(matrix), self.centres)
        return np.asarray(distances.argmin(axis=1))

    def graph(self) -> onnx.ModelProto:
        """What tells the segment of rows and how far they are from its centre."""
        held = {
            "one": np.float32(1),
            "mean": self.space.mean.astype(np.float32),
            "scale": self.space.scale.astype(np.float32),
            "centres": self.centres.astype(np.float32)[np.newaxis],
            "centre": np.array([1], dtype=np.int64),
            "input": np.array([2], dtype=np.int64),
        }
        nodes = [
            helper.make_node("Relu", [FEATURES], ["amounts"]),
            helper.make_node("Add", ["amounts", "one"], ["more"]),
            helper.make_node("Log", ["more"], ["logs"]),
            helper.make_node("Sub", ["logs", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["places"]),
            helper.make_node("Unsqueeze", ["places", "centre"], ["each"]),
            helper.make_node("Sub", ["each", "centres"], ["apart"]),
            helper.make_node("Mul", ["apart", "apart"], ["squares"]),
            helper.make_node("ReduceSum", ["squares", "input"], ["sums"], keepdims=0),
            helper.make_node("ArgMin", ["sums"], [SEGMENT_OF], axis=1, keepdims=0),
            helper.make_node("ReduceMin", ["sums"], ["least"], axes=[1], keepdims=0),
            helper.make_node("Sqrt", ["least"], [DISTANCE]),
        ]
        outputs = [(SEGMENT_OF, TensorProto.INT64, [None]), (DISTANCE, TensorProto.FLOAT, [None])]
        constants = [numpy_helper.from_array(np.asarray(v), name) for name, v in held.items()]
        return model_of(nodes, constants, self.centres.shape[1], outputs)


def squares(places: Floats, centres: Floats) -> Floats:
    """The squared distance of each place from each centre."""
    apart = places[:, np.newaxis] - centres[np.newaxis]
    return np.asarray((apart**2).sum(axis=2), dtype=np.float64)
