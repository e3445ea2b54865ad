"""ONNX graphs: what a fitted model becomes, and the small changes that its outputs need.

Belongs here: conversion. Does not: what is fitted (`families`), and scoring (`scorer`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from lightgbm import Booster
from onnx import TensorProto, helper

FEATURES = "features"
THRESHOLDS = "threshold="
OPSET, ML_OPSET = 15, 3
ADDING_OPSET = 16
"""The first that adds up what goes to one place."""
IR = 8
"""The format's version, which goes with these."""

Output = tuple[str, int, Sequence[int | None]]
"""The name, type and shape of an output."""


def from_lightgbm(booster: Booster, inputs: int) -> onnx.ModelProto:
    """The graph of a LightGBM model, which says the same of float32 inputs."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    graph: onnx.ModelProto = convert_lightgbm(
        _for_float32(booster),
        initial_types=[(FEATURES, FloatTensorType([None, inputs]))],
        target_opset=OPSET,
        zipmap=False,
    )
    return graph


def _for_float32(booster: Booster) -> Booster:
    """A model with thresholds that float32 holds and that divide float32 values as its own do.

    The converter rounds them to the nearest instead, to the other side of values between.
    """
    lines = []
    for line in booster.model_to_string().splitlines():
        # How long each tree's text is; without it, they are read one after the other.
        if line.startswith("tree_sizes="):
            continue
        if line.startswith(THRESHOLDS):
            exact = np.array(line.removeprefix(THRESHOLDS).split(), dtype=np.float64)
            held = exact.astype(np.float32)
            floor = np.where(held > exact, np.nextafter(held, np.float32(-np.inf)), held)
            line = THRESHOLDS + " ".join(repr(float(value)) for value in floor)
        lines.append(line)
    return Booster(model_str="\n".join(lines))


def from_sklearn(estimator: Any, inputs: int) -> onnx.ModelProto:
    """The graph of a scikit-learn estimator, for float32 inputs."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph: onnx.ModelProto = to_onnx(
        estimator,
        initial_types=[(FEATURES, FloatTensorType([None, inputs]))],
        target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        options={"zipmap": False},
    )
    return graph


def model_of(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    inputs: int,
    outputs: Sequence[Output],
) -> onnx.ModelProto:
    """The graph of nodes, for float32 inputs."""
    given = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, [None, inputs])
    graph = helper.make_graph(nodes, "model", [given], [], constants)
    opset = helper.make_opsetid("", ADDING_OPSET)
    model = helper.make_model(graph, ir_version=IR, opset_imports=[opset])
    return _with_outputs(model, outputs)


def probability(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A classifier's graph with one output, the `probability` of the second class."""
    (both,) = [each.name for each in graph.graph.output if "prob" in each.name]
    graph.graph.initializer.extend(
        [
            helper.make_tensor("_second", TensorProto.INT64, [], [1]),
            helper.make_tensor("_least", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("_most", TensorProto.FLOAT, [], [1.0]),
        ]
    )
    graph.graph.node.extend(
        [
            helper.make_node("Gather", [both, "_second"], ["_probability"], axis=1),
            # The mean of many trees is summed in float32, and may come to more than 1.
            helper.make_node("Max", ["_probability", "_least"], ["_positive"]),
            helper.make_node("Min", ["_positive", "_most"], ["probability"]),
        ]
    )
    return _with_outputs(graph, [("probability", TensorProto.FLOAT, [None])])


def _with_outputs(graph: onnx.ModelProto, outputs: Sequence[Output]) -> onnx.ModelProto:
    del graph.graph.output[:]
    graph.graph.output.extend(
        helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs
    )
    onnx.checker.check_model(graph)
    return graph
