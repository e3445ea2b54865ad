"""Tuning: which learner does best, found by Optuna within a budget of time.

The study is kept under the digest of data and code: a run that was killed goes on where it was, and
one on the same data and code comes to the same choice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from aquifer.models.errors import TrainingError
from aquifer.models.evaluation import SEED

Suggest = Callable[[Trial], Mapping[str, Any]]
"""The parameters of a family that a trial is to try."""


class Choice(NamedTuple):
    """What tuning has chosen.

    Attributes:
        family: the kind of learner.
        parameters: what it is given.
        trials: how many were tried; none, if there was nothing to choose.
    """

    family: str
    parameters: Mapping[str, Any]
    trials: int


@dataclass(frozen=True)
class Tuning:
    """A study, and what it may cost.

    Args:
        study: its name, which stands for data and code.
        storage: URL of the database of studies.
        seconds: what all its trials may take together.
        trials: how many there are at most.
    """

    study: str
    storage: str
    seconds: float
    trials: int

    def choose(
        self,
        families: Mapping[str, Suggest],
        folds: int,
        loss: Callable[[str, Mapping[str, Any], int], float],
    ) -> Choice:
        """The family and parameters with the least mean loss over folds.

        Args:
            loss: of a family with parameters on the n-th fold.

        Raises:
            TrainingError: no trial was finished within the budget.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            study_name=self.study,
            storage=self.storage,
            sampler=optuna.samplers.TPESampler(seed=SEED),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            load_if_exists=True,
        )
        for left in study.get_trials(states=[TrialState.RUNNING]):
            study.tell(left.number, state=TrialState.FAIL)
        names = list(families)
        if not study.get_trials():
            # Each family is tried once before the sampler prefers any.
            for name in names:
                study.enqueue_trial({"family": name})

        def objective(trial: Trial) -> float:
            family = trial.suggest_categorical("family", names)
            parameters = families[family](trial)
            trial.set_user_attr("parameters", dict(parameters))
            losses: list[float] = []
            for fold in range(folds):
                losses.append(loss(family, parameters, fold))
                trial.report(float(np.mean(losses)), fold)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return float(np.mean(losses))

        ended = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])
        left_seconds = self.seconds - sum(map(_seconds, ended))
        left_trials = self.trials - len(ended)
        if left_trials > 0 and left_seconds > 0:
            study.optimize(objective, n_trials=left_trials, timeout=left_seconds)
        if not study.get_trials(states=[TrialState.COMPLETE]):
            raise TrainingError(
                f"no trial of {self.study} was finished within {self.seconds:g} s; give it more "
                "`tuning_seconds`"
            )
        best = study.best_trial
        trials = len(study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED]))
        return Choice(best.params["family"], best.user_attrs["parameters"], trials)


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0
