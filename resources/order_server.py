"""The order database on PostgreSQL: its tables there, and writing to it what the simulation plays.

Belongs here: the types of its columns, carrying over the changes of the simulation's own database.
Does not: what happens in the shop (`simulation`), how changes are captured (`deploy.connector`).
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aquifer.errors import PassingError, SettingError, SourceError
from aquifer.instants import instant
from resources.order_database import TABLES, create_tables
from resources.sqlite import connect

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

SETTING = "AQUIFER_ORDERS"
EMBEDDED = "sqlite://"

TYPES: Mapping[str, str] = {
    "list_price": "numeric",
    "cost": "numeric",
    "unit_price": "numeric",
    "line_no": "integer",
    "quantity": "integer",
    "opened_on": "date",
    "placed_at": "timestamptz",
    "paid_at": "timestamptz",
    "shipped_at": "timestamptz",
    "delivered_at": "timestamptz",
    "cancelled_at": "timestamptz",
    "moved_at": "timestamptz",
}
"""The types of the columns that are no text."""

CHANGED_AT = "changed_at"
"""The column of every table that says when its row changed by the clock of the shop; captured
changes tell the time of the server's."""

SLOT = "aquifer"
"""The replication slot by which changes are captured."""

CAPTURE = timedelta(minutes=1)
"""How long it may take until changes are captured."""

CHANGES_AT_ONCE = 5_000
"""How many changes a transaction writes at most."""

Statement = tuple[str, Sequence[Any]]


@dataclass(frozen=True)
class OrderServer:
    """The order database on a PostgreSQL server.

    Args:
        url: `postgresql://user:password@host:port/database`.
    """

    url: str = field(repr=False)

    def apply(self, outbox: Path) -> int:
        """Write the changes of an outbox that are not there yet, in their order; how many.

        How far they are written is recorded by the transaction that writes them, so that each is
        there once, whenever this is killed.
        """
        applied = 0
        self.create_tables()
        with closing(connect(outbox)) as journal, self._connected() as server:
            create_tables(journal)
            while changes := _apply_some(server, journal):
                applied += changes
        return applied

    def await_capture(self) -> None:
        """Wait until the changes that were written stand in the event log.

        Raises:
            SourceError: nothing captures them.
            PassingError: they have not been captured in time.
        """
        deadline = time.monotonic() + CAPTURE.total_seconds()
        with self._connected() as server, server, server.cursor() as cursor:
            while not self._captured(cursor):
                if time.monotonic() > deadline:
                    raise PassingError(
                        f"changes of the order database at {self.place} have not been captured "
                        f"within {CAPTURE.seconds} s; see the state of the connector in Kafka "
                        "Connect"
                    )
                time.sleep(0.1)

    def _captured(self, cursor: "Cursor") -> bool:
        cursor.execute(
            "select coalesce(confirmed_flush_lsn >= written, written is null) "
            "from applied, pg_replication_slots "
            "where slot_name = %s and database = current_database()",
            (SLOT,),
        )
        slot = cursor.fetchone()
        if slot is None:
            raise SourceError(
                f"nothing captures the changes of the order database at {self.place}; register "
                "its connector with Kafka Connect: python -m deploy.connector http://host:8083"
            )
        return bool(slot[0])

    def create_tables(self) -> None:
        """Create what is missing: the tables, and how far the outbox has been written."""
        with self._connected() as server, server, server.cursor() as cursor:
            # Of two that create a table at once, one would be refused.
            cursor.execute("select pg_advisory_xact_lock(hashtext('create tables'))")
            for table, columns in TABLES.items():
                cursor.execute("select to_regclass(%s)", (table,))
                if cursor.fetchone() == (None,):
                    cursor.execute(_table(table, columns))
                    # So that a change tells all of the row as it was.
                    cursor.execute(f"alter table {table} replica identity full")
            cursor.execute(
                "create table if not exists applied (lsn bigint not null, written pg_lsn)"
            )
            cursor.execute("insert into applied select 0 where not exists (select from applied)")

    @contextmanager
    def _connected(self) -> Iterator["Connection"]:
        import psycopg2

        try:
            with closing(psycopg2.connect(self.url, options="-c timezone=UTC")) as server:
                yield server
        # What is left to do on a connection that was lost is refused as an error of its interface.
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise PassingError(
                f"the order database at {self.place} does not answer: {_line(error)}; start it, "
                f"or correct {SETTING}"
            ) from error
        except psycopg2.Error as error:
            raise SourceError(
                f"the order database at {self.place} refuses a change: {_line(error)}; correct "
                "what differs there from the tables that the platform creates"
            ) from error

    @property
    def place(self) -> str:
        """Where it is, for people to read."""
        return self.url.rpartition("@")[2]


def order_server(settings: Mapping[str, str]) -> OrderServer | None:
    """The server that the settings name; None: the order database is embedded.

    Raises:
        SettingError: its URL is none, what it takes is not installed, or its changes have no log.
    """
    url = settings.get(SETTING) or EMBEDDED
    if url == EMBEDDED:
        return None
    parts = urlsplit(url)
    if parts.scheme != "postgresql" or not parts.hostname or not parts.path.strip("/"):
        raise SettingError(
            f"{SETTING} is no URL of an order database; write {EMBEDDED} or "
            "postgresql://user:password@host:port/database"
        )
    if find_spec("psycopg2") is None:
        raise SettingError(
            f"{SETTING} names PostgreSQL and what reaches it is missing; install psycopg2-binary"
        )
    if not (settings.get("AQUIFER_EVENT_LOG") or "").startswith("kafka://"):
        raise SettingError(
            f"{SETTING} names PostgreSQL, whose changes come through Kafka; set AQUIFER_EVENT_LOG "
            "to kafka://host:port, where Kafka Connect puts them"
        )
    return OrderServer(url)


def _table(table: str, columns: Sequence[str]) -> str:
    key, *others = columns
    typed = [f"{column} {TYPES.get(column, 'text')}" for column in others]
    parts = [f"{key} text primary key", *typed, f"{CHANGED_AT} timestamptz not null"]
    return f"create table {table} ({', '.join(parts)})"


def _apply_some(server: "Connection", journal: sqlite3.Connection) -> int:
    """Write the next changes of the journal in one transaction; how many there were."""
    with server, server.cursor() as cursor:
        # Another process that writes waits here, and then goes on from there.
        cursor.execute("select lsn from applied for update")
        (reached,) = cursor.fetchone() or (0,)
        (last,) = journal.execute("select coalesce(max(lsn), 0) from outbox").fetchone()
        if reached > last:
            raise SourceError(
                f"the order database has changes up to {reached} of a simulation that has only "
                f"{last}: it is another one's; name another database in {SETTING}"
            )
        changes = journal.execute(
            "select lsn, value from outbox where lsn > ? order by lsn limit ?",
            (reached, CHANGES_AT_ONCE),
        ).fetchall()
        if changes:
            _write(cursor, [json.loads(value) for _, value in changes])
            # What is captured is told by the beginning of the commit, which comes after this.
            cursor.execute(
                "update applied set lsn = %s, written = pg_current_wal_insert_lsn()",
                (changes[-1][0],),
            )
        return len(changes)


def _write(cursor: "Cursor", changes: Sequence[Mapping[str, Any]]) -> None:
    statements = [statement for change in changes for statement in _statements(change)]
    cursor.execute(b";".join(cursor.mogrify(*statement) for statement in statements))


def _statements(change: Mapping[str, Any]) -> Iterator[Statement]:
    """The SQL that makes a change of the outbox."""
    source, before = change["source"], change["before"]
    table, at = source["table"], instant(source["ts_us"])
    key = TABLES[table][0]
    if change["op"] == "c":
        row = {**change["after"], CHANGED_AT: at}
        marks = ", ".join(["%s"] * len(row))
        yield f"insert into {table} ({', '.join(row)}) values ({marks})", [*row.values()]
        return
    # Of a row that is deleted the server tells what it was, so that must hold the time.
    row = {**(change["after"] or {}), CHANGED_AT: at}
    assignments = ", ".join(f"{column} = %s" for column in row)
    yield f"update {table} set {assignments} where {key} = %s", [*row.values(), before[key]]
    if change["op"] == "d":
        yield f"delete from {table} where {key} = %s", [before[key]]


def _line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
