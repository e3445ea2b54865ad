"""Graphs say what the models say that they are made from."""

import numpy as np
import onnxruntime
import pytest
from lightgbm import LGBMClassifier

from aquifer.models.families import FAMILIES, learned

DICE = np.random.default_rng(3)
MATRIX = DICE.normal(size=(800, 4)).astype(np.float32)
MATRIX[::7, 2] = np.nan
LABEL = (MATRIX[:, 0] + DICE.normal(scale=0.5, size=800) > 0).astype(np.float64)
PARAMETERS = {
    "boosting": {"n_estimators": 40, "min_child_samples": 5},
    "linear": {"C": 1.0},
    "forest": {"n_estimators": 60, "min_samples_leaf": 20},
}


def said(graph, matrix: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return session.run(["probability"], {session.get_inputs()[0].name: matrix})[0]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_graph_of_each_family_says_what_its_estimator_says(family):
    estimator = learned(family, PARAMETERS[family], MATRIX, LABEL)
    graph = FAMILIES[family].graph(estimator, 4)
    expected = estimator.predict_proba(MATRIX)[:, 1]
    assert np.abs(said(graph, MATRIX) - expected).max() < 1e-5


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_probability_is_within_its_bounds_where_all_is_of_one_kind(family):
    label = (MATRIX[:, 0] > 0).astype(np.float64)
    graph = FAMILIES[family].graph(learned(family, PARAMETERS[family], MATRIX, label), 4)
    found = said(graph, MATRIX * 100)
    assert found.min() >= 0
    assert found.max() <= 1


def test_values_on_and_beside_the_thresholds_of_trees_fall_to_the_same_side():
    estimator: LGBMClassifier = learned("boosting", PARAMETERS["boosting"], MATRIX, LABEL)
    graph = FAMILIES["boosting"].graph(estimator, 4)
    nodes = estimator.booster_.trees_to_dataframe().dropna(subset=["threshold"])
    for name, split in nodes.groupby("split_feature"):
        # What is nearer to zero than 1e-35 is zero to LightGBM alone.
        near = split["threshold"].to_numpy().astype(np.float32)
        near = near[np.abs(near) > 1e-30]
        values = np.concatenate([near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf)])
        matrix = np.zeros((len(values), 4), dtype=np.float32)
        matrix[:, int(name.removeprefix("Column_"))] = values
        expected = estimator.predict_proba(matrix)[:, 1]
        assert np.abs(said(graph, matrix) - expected).max() < 1e-5
