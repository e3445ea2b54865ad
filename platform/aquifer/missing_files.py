"""Missing data files: how each reader says that a file is gone which a table's log names.

Belongs here: telling it from other errors, in one line. Does not: making the rows again (`repair`).
Loads no engine, as queries wait for none.
"""

import re

from aquifer.errors import AquiferError

_SAYINGS = ("not found", "No such file", "No files found")
_FILE = re.compile(
    r"/((?:bronze|silver|stream|gold|features)/[a-z][a-z0-9_]*)/((?:[^/\s]+=[^/\s]+/)*[^/\s]+\.parquet)"
)


class MissingFile(AquiferError):
    """A table cannot be read until a file is back or its rows are made again."""


def missing_file(said: str) -> MissingFile | None:
    """The error to raise if an error says that a data file is gone."""
    file = _FILE.search(said)
    if file is None or not any(saying in said for saying in _SAYINGS):
        return None
    table = file[1].replace("/", ".")
    return MissingFile(
        f"{table} lacks its file {file[2]}; restore it from a backup, or run "
        f"`aquifer repair {table}`"
    )
