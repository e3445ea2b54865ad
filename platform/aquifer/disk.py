"""Disk trouble: how each of the parts below says that nothing can be written.

Belongs here: telling a full or forbidden disk from other errors, in one line. Does not: settings
that name a wrong folder, which are told where they are used.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaError
from pyspark.errors import PySparkException
from sqlalchemy.exc import DBAPIError

from aquifer.errors import AquiferError
from aquifer.missing_files import missing_file

SAYINGS = (
    # The engine and delta-rs pass on the system's words only, not its numbers.
    *map(
        os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
    ),
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
)
"""The system's words, and SQLite's."""


class DiskError(AquiferError):
    """Nothing can be written until somebody makes room or gives rights."""


@contextmanager
def disk_trouble() -> Iterator[None]:
    """Say in one line that the disk is full, or a file gone, where others show their insides.

    Raises:
        DiskError: instead of any error that says so.
        MissingFile: instead of any error that says that a table's file is gone.
    """
    try:
        yield
    except (OSError, sqlite3.Error, DBAPIError, DeltaError, PySparkException) as error:
        said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        line = next((text for text in said.splitlines() if any(s in text for s in SAYINGS)), None)
        if gone := missing_file(said):
            raise gone from error
        if line is None:
            raise
        raise DiskError(
            f"cannot write to AQUIFER_HOME or the lake: {line.strip()}; make room or rights, then "
            "run it again: it goes on where it ended"
        ) from error
