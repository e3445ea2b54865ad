"""The graph of a forecaster: from features as they are to the quantiles of each week.

Belongs here: what a booster sees of features, computed alike with numpy for learning and in ONNX
for scoring. Does not: learning (`forecasting`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from lightgbm import Booster
from onnx import TensorProto, compose, helper, numpy_helper

from aquifer.models.forecaster import LEAST_LEVEL
from aquifer.models.graphs import FEATURES, ML_OPSET, OPSET, from_lightgbm


class Layout(NamedTuple):
    """Where things stand in the inputs of a forecaster.

    Attributes:
        level: the place of the level.
        divided: whether each input is divided by the level; shape (inputs).
        ahead: for each week, the places of what is known of it; shape (weeks, known).
        base: the places of all other inputs.
    """

    level: int
    divided: np.ndarray
    ahead: np.ndarray
    base: np.ndarray

    @property
    def weeks(self) -> int:
        return len(self.ahead)

    def levels(self, matrix: np.ndarray) -> np.ndarray:
        """The level of each row; shape (rows, 1)."""
        return np.asarray(np.maximum(matrix[:, [self.level]], np.float32(LEAST_LEVEL)))

    def seen(self, matrix: np.ndarray) -> np.ndarray:
        """What a booster sees: the rows once for each week, week by week.

        Args:
            matrix: features, shape (rows, inputs) of float32.

        Returns:
            Shape (weeks x rows, base + known + 1); the last column is the week.
        """
        scaled = matrix / np.where(self.divided, self.levels(matrix), np.float32(1))
        weeks = [
            np.column_stack([scaled[:, self.base], scaled[:, places], np.full(len(scaled), week)])
            for week, places in enumerate(self.ahead, start=1)
        ]
        return np.concatenate(weeks).astype(np.float32)


def forecast_graph(
    boosters: Sequence[Booster], layout: Layout, names: Sequence[str]
) -> onnx.ModelProto:
    """The graph of forecasts, which takes features as they are.

    Args:
        boosters: one a quantile, of the ratio to the level.
        names: of the outputs, quantile by quantile within each week; each has the shape (rows).
    """
    weeks, quantiles = layout.weeks, len(boosters)
    constants: dict[str, np.ndarray] = {
        "least": np.array([LEAST_LEVEL], np.float32),
        "one": np.array([1], np.float32),
        "nought": np.array([0], np.float32),
        "divided": layout.divided[np.newaxis],
        "level_place": np.array([layout.level], np.int64),
        "base_places": layout.base.astype(np.int64),
        "all": np.array([quantiles], np.int64),
        "by_week": np.array([weeks, -1, quantiles], np.int64),
        "by_output": np.array([weeks * quantiles, -1], np.int64),
        "first_axis": np.array([0], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Gather", [FEATURES, "level_place"], ["mean"], axis=1),
        node("Max", ["mean", "least"], ["level"]),
        node("Where", ["divided", "level", "one"], ["divisor"]),
        node("Div", [FEATURES, "divisor"], ["scaled"]),
        node("Gather", ["scaled", "base_places"], ["base"], axis=1),
        node("Shape", ["level"], ["column"]),
    ]
    for week, places in enumerate(layout.ahead, start=1):
        constants[f"ahead_places_{week}"] = places.astype(np.int64)
        number = numpy_helper.from_array(np.array([week], np.float32))
        nodes += [
            node("Gather", ["scaled", f"ahead_places_{week}"], [f"ahead_{week}"], axis=1),
            node("ConstantOfShape", ["column"], [f"number_{week}"], value=number),
            node("Concat", ["base", f"ahead_{week}", f"number_{week}"], [f"seen_{week}"], axis=1),
        ]
    nodes.append(node("Concat", [f"seen_{w}" for w in range(1, weeks + 1)], ["seen"], axis=0))
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    ratios, version = [], 0
    for place, booster in enumerate(boosters):
        trees = compose.add_prefix(
            from_lightgbm(booster, layout.base.size + layout.ahead.shape[1] + 1), f"q{place}_"
        )
        given, told = trees.graph.input[0].name, trees.graph.output[0].name
        nodes += [node("Identity", ["seen"], [given]), *trees.graph.node]
        initializers += trees.graph.initializer
        ratios.append(told)
        version = trees.ir_version
    nodes += [
        node("Concat", ratios, ["ratios"], axis=1),
        # Each quantile is learned by itself, and may cross another.
        node("TopK", ["ratios", "all"], ["ordered", "_order"], axis=1, largest=0),
        node("Max", ["ordered", "nought"], ["sound"]),
        node("Concat", ["level"] * weeks, ["levels"], axis=0),
        node("Mul", ["sound", "levels"], ["amounts"]),
        node("Reshape", ["amounts", "by_week"], ["weekly"]),
        node("Transpose", ["weekly"], ["turned"], perm=[0, 2, 1]),
        node("Reshape", ["turned", "by_output"], ["outputs"]),
        node("Split", ["outputs"], [f"row_{name}" for name in names], axis=0),
        *(node("Squeeze", [f"row_{name}", "first_axis"], [name]) for name in names),
    ]
    kind = TensorProto.FLOAT
    width = len(layout.divided)
    graph = helper.make_graph(
        nodes,
        "forecasts",
        [helper.make_tensor_value_info(FEATURES, kind, [None, width])],
        [helper.make_tensor_value_info(name, kind, [None]) for name in names],
        initializers,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    onnx.checker.check_model(made)
    return made
