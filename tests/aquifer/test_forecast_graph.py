"""The graph of a forecast says what its boosters say, in order and never negative."""

import lightgbm
import numpy as np
import onnxruntime
import pytest

from aquifer.models.forecast_graph import Layout, forecast_graph

ROWS, WEEKS = 400, 4
NAMES = [f"week_{week}_{place}" for week in range(WEEKS) for place in range(3)]
LAYOUT = Layout(
    level=1,
    divided=np.array([True, False, False, False, False, False, False]),
    ahead=np.array([[3], [4], [5], [6]]),
    base=np.array([0, 1, 2]),
)


@pytest.fixture(scope="module")
def boosters():
    """One for each of three quantiles, which cross and go below zero."""
    chance = np.random.default_rng(1)
    seen = LAYOUT.seen(features(chance))
    ratio = seen[:, 0] * 0.3 + seen[:, 3] - 0.4 * seen[:, 4] + chance.standard_normal(len(seen))
    settings = {"objective": "quantile", "num_threads": 1, "verbosity": -1}
    return [
        lightgbm.train({**settings, "alpha": q}, lightgbm.Dataset(seen, ratio), 30)
        for q in (0.6, 0.4, 0.5)
    ]


def features(chance):
    matrix = chance.lognormal(0, 1.5, (ROWS, 7)).astype(np.float32)
    matrix[:, 3:] = chance.integers(0, 3, (ROWS, 4))
    matrix[chance.uniform(size=ROWS) < 0.2, 2] = np.nan
    return matrix


def test_it_scales_orders_and_clips_what_the_boosters_say(boosters):
    matrix = features(np.random.default_rng(2))
    ratios = np.stack([each.predict(LAYOUT.seen(matrix)) for each in boosters], axis=1)
    assert (np.diff(ratios, axis=1) < 0).any()
    assert (ratios < 0).any()
    level = np.maximum(matrix[:, 1], 0.25).astype(np.float64)
    sound = np.maximum(np.sort(ratios, axis=1), 0).reshape(WEEKS, ROWS, 3)
    expected = (sound * level[:, np.newaxis]).transpose(0, 2, 1).reshape(WEEKS * 3, ROWS)
    graph = forecast_graph(boosters, LAYOUT, NAMES).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(NAMES, {"features": matrix})
    for said, wanted in zip(found, expected, strict=True):
        assert said.shape == (ROWS,)
        assert (np.abs(said - wanted) <= 1e-5 * np.maximum(np.abs(wanted), level)).all()
