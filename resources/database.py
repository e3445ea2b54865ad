"""PostgreSQL as the platform's own database: the leases that the writers of several machines share.

Belongs here: connections, one line when there is none. Does not: what Dagster keeps in the same
database (`dagster_postgres`), the order database (a source).
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aquifer.errors import PassingError, SettingError
from aquifer.lease import FileLeases, Leases, wait_for

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SCHEME = "postgresql://"

SETTINGS = {
    "application_name": "aquifer",
    "connect_timeout": "10",
    # So that the lease of a machine that is cut off is free after half a minute.
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4 "
    # So that Ctrl-C is heard while a lease is waited for.
    "-c lock_timeout=1s",
}


def connect(url: str) -> "Connection":
    """A connection that commits each statement.

    Raises:
        SettingError: the driver is not installed.
        PassingError: the server does not answer.
    """
    try:
        import psycopg2
    except ImportError as error:
        raise SettingError(
            "PostgreSQL needs its driver; install it with: pip install 'aquifer[postgres]'"
        ) from error
    with _reached():
        connection = psycopg2.connect(url, **SETTINGS)
    connection.autocommit = True
    return connection


@contextmanager
def _reached() -> Iterator[None]:
    """Tell in one line that the server does not answer, or no longer."""
    from psycopg2 import OperationalError

    try:
        yield
    except OperationalError as error:
        raise PassingError(f"cannot reach PostgreSQL: {' '.join(str(error).split())}") from error


class PostgresLeases:
    """Leases as advisory locks of PostgreSQL, which frees them when their holder's connection ends.

    Serves all processes that name the same database. A holder that is cut off may go on to write
    while another holds its lease; of the two, Delta refuses who commits last.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def hold(self, names: Iterable[str], *, wait: bool = True) -> Iterator[None]:
        """Hold the lease of every name; see `aquifer.lease.Leases`."""
        with closing(connect(self._url)) as connection:
            with _reached():
                for name in sorted(set(names)):
                    if not _take(connection, name):
                        wait_for(name, wait)
                        _wait(connection, name)
            yield


KEY = "hashtextextended(%s, 0)"


def _take(connection: "Connection", name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"select pg_try_advisory_lock({KEY})", [name])
        ((taken,),) = cursor.fetchall()
        return bool(taken)


def _wait(connection: "Connection", name: str) -> None:
    from psycopg2.errors import LockNotAvailable

    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"select pg_advisory_lock({KEY})", [name])
            return
        except LockNotAvailable:
            continue


def leases_of(place: str) -> Leases:
    """The leases at a place.

    Args:
        place: a folder of this machine, or URL of PostgreSQL.
    """
    return PostgresLeases(place) if place.startswith(SCHEME) else FileLeases(Path(place))
