"""Leases: one writer a table at a time, freed by the holder's death.

Belongs here: who may commit to a table now, on one machine. Does not: the same on several machines
(resources), how much may run at once (Dagster pools).
"""

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from aquifer.errors import AquiferError, SettingError

logger = logging.getLogger("aquifer.lease")


class LeaseTaken(AquiferError):
    """Another process holds the lease."""


class Leases(Protocol):
    """Leases by name, each held by one at a time."""

    def hold(
        self, names: Iterable[str], *, wait: bool = True
    ) -> AbstractContextManager[None, bool | None]:
        """Hold the lease of every name, waiting for other holders.

        Names are taken in sorted order, so that two holders of several cannot wait for each other.

        Raises:
            LeaseTaken: another holds one of them, and this one does not wait.
        """
        ...


class FileLeases:
    """Leases as advisory locks on files: the kernel frees them when their holder dies.

    Serves the processes of one machine. `folder` holds one empty file a leased name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, names: Iterable[str], *, wait: bool = True) -> Iterator[None]:
        """Hold the lease of every name; see `Leases`."""
        with ExitStack() as held:
            for name in sorted(set(names)):
                held.enter_context(self._hold_one(name, wait))
            yield

    @contextmanager
    def _hold_one(self, name: str, wait: bool) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise SettingError(
                f"cannot take the lease of {name} in {self._folder}: {error.strerror}; "
                "make AQUIFER_HOME a folder that can be written"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait_for(name, wait)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def wait_for(name: str, wait: bool) -> None:
    """Say that another holds a lease.

    Raises:
        LeaseTaken: this one does not wait.
    """
    if not wait:
        raise LeaseTaken(f"another process holds {name}; wait for it to end")
    logger.warning("another run is writing %s; waiting for it to finish", name)
