"""Errors of models that a person can act on."""

from aquifer.errors import AquiferError, PassingError


class TrainingError(AquiferError):
    """A model cannot learn from what there is."""


class ScoringError(AquiferError):
    """A model that cannot be scored with."""


class PlanError(AquiferError):
    """Nothing can be planned from what there is."""


class RegistryError(AquiferError):
    """The registry has not what was asked for, or holds something that cannot be used."""


class RegistryDown(PassingError):
    """The registry does not answer."""
