"""The order database on SQLite, with change capture into an outbox that is an event log.

Belongs here: its tables, the triggers that capture their changes, reading the changes. Does not:
what happens in it (`simulation`).
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from aquifer.eventlog import EVENTS, PARTITIONS, UnknownTopic
from resources.sqlite import connect, create_clock, create_table, lacks, transaction

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

TOPICS = sorted(f"orders.{table}" for table in TABLES)

SNAPSHOTS = "orders.snapshots"
"""The topic in which a connector tells of the snapshots that it takes; an outbox needs none."""

CAPTURED = (("c", "insert", "new"), ("u", "update", "new"), ("d", "delete", "old"))
"""Debezium's name of a change, SQL's, and the row that has its key."""

OUTBOX = """
create table if not exists outbox (
    lsn integer primary key autoincrement, topic text not null, partition integer not null,
    "offset" integer not null, key text not null, value text not null, ts_us integer not null,
    unique (topic, partition, "offset")
)
"""


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is missing: the tables, the outbox and the capturing triggers."""
    with transaction(connection):
        create_clock(connection)
        connection.execute(OUTBOX)
        for table, columns in TABLES.items():
            create_table(connection, table, columns)
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
        return TOPICS

    def begin_offsets(self, topic: str) -> Mapping[int, int]:
        self._check(topic)
        return dict.fromkeys(range(PARTITIONS), 0)

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        self._check(topic)
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

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> pa.Table:
        self._check(topic)
        share = -(-limit // len(offsets)) if offsets else 0
        rows: list[tuple[int, int, bytes, bytes, int]] = []
        with self._reading() as connection:
            connection.text_factory = bytes
            for partition, offset in offsets.items():
                rows += connection.execute(
                    'select partition, "offset", key, value, ts_us from outbox '
                    'where topic = ? and partition = ? and "offset" >= ? order by 2 limit ?',
                    (topic, partition, offset, share),
                )
        columns = zip(*rows, strict=True) if rows else [[]] * len(EVENTS)
        return pa.table([*map(pa.array, columns)], EVENTS.names).cast(EVENTS)

    def _check(self, topic: str) -> None:
        if topic not in self.topics():
            raise UnknownTopic(topic, f"the order database {self.path}")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = connect(self.path)
        try:
            if lacks(connection, ["outbox"]):
                create_tables(connection)
            yield connection
        finally:
            connection.close()
