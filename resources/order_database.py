"""The order database on SQLite, with change capture into an outbox that is an event log.

Belongs here: its tables, the triggers that capture their changes, reading the changes. Does not:
what happens in it (`simulation`).
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aquifer.errors import SettingError
from aquifer.eventlog import Event
from aquifer.instants import instant

PARTITIONS = 4
PATIENCE_SECONDS = 60
"""How long to wait for another writer."""

TABLES: Mapping[str, Sequence[str]] = {
    "customers": ("customer_id", "name", "email", "phone", "address", "city", "country"),
    "products": ("sku", "name", "category", "list_price", "cost"),
    "stores": ("store_id", "name", "city", "country", "opened_on"),
    "regions": ("country", "region"),
    "orders": (
        "order_id",
        "customer_id",
        "store_id",
        "status",
        "placed_at",
        "paid_at",
        "shipped_at",
        "delivered_at",
        "cancelled_at",
        "currency",
    ),
    "order_lines": ("order_line_id", "order_id", "line_no", "sku", "quantity", "unit_price"),
    "stock_movements": ("movement_id", "store_id", "sku", "quantity", "kind", "moved_at"),
}
"""Each table's columns; the first is the key. Money is text, exact; times are ISO text in UTC."""

CAPTURED = (("c", "insert", "new"), ("u", "update", "new"), ("d", "delete", "old"))
"""Debezium's name of a change, SQL's, and the row that has its key."""

OUTBOX = """
create table if not exists outbox (
    lsn integer primary key autoincrement, topic text not null, partition integer not null,
    "offset" integer not null, key text not null, value text not null, ts_us integer not null,
    unique (topic, partition, "offset")
)
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode with transactions begun by hand; one line when it cannot be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_SECONDS)
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


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is missing: the tables, the outbox and the capturing triggers."""
    with transaction(connection):
        create_clock(connection)
        connection.execute(OUTBOX)
        for table, columns in TABLES.items():
            listed = ", ".join(columns[1:])
            connection.execute(
                f"create table if not exists {table} ({columns[0]} primary key, {listed})"
            )
            for op, event, row in CAPTURED:
                connection.execute(_trigger(table, columns, op, event, row))


def _trigger(table: str, columns: Sequence[str], op: str, event: str, row: str) -> str:
    before = "null" if op == "c" else _image("old", columns)
    after = "null" if op == "d" else _image("new", columns)
    key = f"{row}.{columns[0]}"
    topic = f"orders.{table}"
    return f"""
        create trigger if not exists {table}_{event} after {event} on {table} begin
            insert into outbox (topic, partition, "offset", key, value, ts_us)
            select '{topic}', p.partition,
                coalesce((select max("offset") + 1 from outbox
                    where topic = '{topic}' and partition = p.partition), 0),
                {key},
                json_object('op', '{op}', 'before', {before}, 'after', {after},
                    'source', json_object('db', 'orders', 'table', '{table}',
                        'lsn', coalesce((select max(lsn) + 1 from outbox), 1), 'ts_us', c.ts_us),
                    'ts_us', c.ts_us),
                c.ts_us
            from clock c, (select (unicode(substr({key}, -1)) * 31
                + coalesce(unicode(substr({key}, -2, 1)), 0)) % {PARTITIONS} as partition) p;
        end
    """


def _image(row: str, columns: Sequence[str]) -> str:
    pairs = ", ".join(f"'{column}', {row}.{column}" for column in columns)
    return f"json_object({pairs})"


@dataclass(frozen=True)
class OutboxEventLog:
    """The outbox as an event log: a topic a table, partitioned by key, offsets without gaps."""

    path: Path

    def topics(self) -> Sequence[str]:
        return sorted(f"orders.{table}" for table in TABLES)

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        ends = dict.fromkeys(range(PARTITIONS), 0)
        with self._reading() as connection:
            ends.update(
                connection.execute(
                    'select partition, max("offset") + 1 from outbox where topic = ? '
                    "group by partition",
                    (topic,),
                )
            )
        return ends

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Event]:
        with self._reading() as connection:
            rows = connection.execute(
                'select "offset", key, value, ts_us from outbox '
                'where topic = ? and partition = ? and "offset" >= ? order by "offset" limit ?',
                (topic, partition, offset, limit),
            ).fetchall()
        return [
            Event(topic, partition, place, key, value, instant(ts_us))
            for place, key, value, ts_us in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = connect(self.path)
        try:
            if lacks(connection, ["outbox"]):
                create_tables(connection)
            yield connection
        finally:
            connection.close()
