"""The errors that a person can act on: one line saying what is wrong, where, and what to do."""


class AquiferError(Exception):
    """Base of every error that the command line prints as one line. Not retried by a run."""


class PassingError(AquiferError):
    """What may pass by itself, such as a service that is down. Retried by a run."""


class SettingError(AquiferError):
    """A setting, URL or argument has a value that cannot be used."""


class ContractError(AquiferError):
    """A contract cannot be used as it is written."""


class SourceError(AquiferError):
    """A source delivered something that cannot be read."""
