"""SQLite as the simulated databases and the event log use it: connections, transactions, tables.

Belongs here: what several of them share. Does not: the tables of any (beside).
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aquifer.errors import SettingError

PATIENCE_SECONDS = 60
"""How long to wait for another writer."""


def connect(path: Path, *, shrinks: bool = False) -> sqlite3.Connection:
    """A connection in WAL mode with transactions begun by hand; one line when it cannot be had.

    Args:
        shrinks: of a new database, whether `pragma incremental_vacuum` will do anything.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_SECONDS)
        if shrinks:
            connection.execute("pragma auto_vacuum = incremental")
        _write_ahead(connection)
    except (OSError, sqlite3.DatabaseError) as error:
        raise SettingError(f"cannot open the database {path}: {error}; check its folder") from error
    connection.execute("pragma synchronous = normal")
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Other than a lock for writing, SQLite does not wait for this one: of two processes that open
    # a new database at once, one is refused.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, with the write lock taken at once."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def lacks(connection: sqlite3.Connection, tables: Iterable[str]) -> bool:
    """Whether a table is missing. Readers ask before they create: creating waits for writers."""
    rows = connection.execute("select name from sqlite_master where type = 'table'")
    return not {name for (name,) in rows}.issuperset(tables)


def create_clock(connection: sqlite3.Connection) -> None:
    """Create the clock that tells the database's simulated present."""
    connection.execute("create table if not exists clock (ts_us integer not null)")
    connection.execute("insert into clock select 0 where not exists (select 1 from clock)")


def create_table(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> None:
    """Create a table unless it is there; the first of its columns is the key."""
    key, *others = columns
    connection.execute(
        f"create table if not exists {table} ({key} primary key, {', '.join(others)})"
    )
