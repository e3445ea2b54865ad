"""Families of classifiers: what tuning chooses among.

Each learns from float32, as the graph that it becomes is given: thresholds then agree.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from lightgbm import LGBMClassifier
from optuna.trial import Trial
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aquifer.models import graphs
from aquifer.models.evaluation import SEED, Floats

Parameters = Mapping[str, Any]

THREADS = 1


class Family(ABC):
    """A kind of classifier."""

    @abstractmethod
    def suggest(self, trial: Trial) -> Parameters:
        """What a trial is to try."""

    @abstractmethod
    def estimator(self, parameters: Parameters) -> Any:
        """A classifier of scikit-learn's interface that has not learned yet."""

    @abstractmethod
    def graph(self, estimator: Any, inputs: int) -> onnx.ModelProto:
        """The graph of one that has learned, with the output `probability`."""


class Boosting(Family):
    """Gradient-boosted trees (LightGBM)."""

    def suggest(self, trial: Trial) -> Parameters:
        return {
            "n_estimators": trial.suggest_int("trees", 50, 400, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
            "num_leaves": trial.suggest_int("leaves", 4, 63, log=True),
            "min_child_samples": trial.suggest_int("least_rows", 10, 200, log=True),
            "colsample_bytree": trial.suggest_float("columns", 0.4, 1.0),
            "reg_lambda": trial.suggest_float("ridge", 1e-3, 30.0, log=True),
        }

    def estimator(self, parameters: Parameters) -> Any:
        return LGBMClassifier(
            **parameters,
            random_state=SEED,
            deterministic=True,
            force_row_wise=True,
            n_jobs=THREADS,
            verbosity=-1,
        )

    def graph(self, estimator: Any, inputs: int) -> onnx.ModelProto:
        return graphs.probability(graphs.from_lightgbm(estimator.booster_, inputs))


class Linear(Family):
    """Logistic regression on standardised inputs, the median where one is null."""

    def suggest(self, trial: Trial) -> Parameters:
        return {"C": trial.suggest_float("C", 1e-4, 10.0, log=True)}

    def estimator(self, parameters: Parameters) -> Any:
        return make_pipeline(
            SimpleImputer(strategy="median", add_indicator=False, keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(**parameters, max_iter=500, random_state=SEED),
        )

    def graph(self, estimator: Any, inputs: int) -> onnx.ModelProto:
        return graphs.probability(graphs.from_sklearn(estimator, inputs))


class Forest(Family):
    """Extremely randomised trees, the median where an input is null."""

    def suggest(self, trial: Trial) -> Parameters:
        return {
            "n_estimators": trial.suggest_int("forest_trees", 50, 150),
            "min_samples_leaf": trial.suggest_int("forest_least_rows", 20, 200, log=True),
        }

    def estimator(self, parameters: Parameters) -> Any:
        return make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            ExtraTreesClassifier(**parameters, max_features=0.5, random_state=SEED, n_jobs=THREADS),
        )

    def graph(self, estimator: Any, inputs: int) -> onnx.ModelProto:
        return graphs.probability(graphs.from_sklearn(estimator, inputs))


FAMILIES: Mapping[str, Family] = {"boosting": Boosting(), "linear": Linear(), "forest": Forest()}
"""The families by name."""


def learned(family: str, parameters: Parameters, matrix: np.ndarray, label: Floats) -> Any:
    """A classifier that has learned; the same from the same."""
    return FAMILIES[family].estimator(parameters).fit(matrix, label.astype(np.int64))
