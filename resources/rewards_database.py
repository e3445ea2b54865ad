"""The rewards database on SQLite, extracted by watermark.

Belongs here: its tables and the extraction. Does not: what happens in it (`simulation`).
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from aquifer.instants import instant
from resources.sqlite import connect, create_clock, create_table, lacks, transaction

TABLES: Mapping[str, Sequence[str]] = {
    "members": ("member_id", "customer_id", "status", "joined_on", "recorded_at"),
    "tier_history": ("tier_change_id", "member_id", "tier", "changed_at", "recorded_at"),
    "points_ledger": ("entry_id", "member_id", "points", "reason", "earned_at", "recorded_at"),
}
"""Each table's columns; the first is the key. `recorded_at` is when the database wrote the row."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is missing."""
    with transaction(connection):
        create_clock(connection)
        for table, columns in TABLES.items():
            create_table(connection, table, columns)
            connection.execute(
                f"create index if not exists {table}_recorded on {table} (recorded_at)"
            )


@dataclass(frozen=True)
class RewardsExtracts:
    """The extraction side of the rewards database."""

    path: Path

    def now(self) -> datetime:
        """The database's present: its simulated clock, in UTC."""
        with closing(self._connect()) as connection:
            (ts_us,) = connection.execute("select ts_us from clock").fetchone()
        return instant(ts_us)

    def extract(self, entity: str, since: datetime | None) -> pa.Table:
        """Rows recorded at or after `since`, or at no readable time, as text columns, by key."""
        columns = TABLES[entity]
        listed = ", ".join(f"cast({column} as text)" for column in columns)
        earliest = since.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ") if since else ""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                f"select {listed} from {entity} "
                "where recorded_at >= ? or datetime(recorded_at) is null order by 1",
                (earliest,),
            ).fetchall()
        by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
        return pa.table(
            {
                name: pa.array(values, pa.string())
                for name, values in zip(columns, by_column, strict=True)
            }
        )

    def keys(self, entity: str) -> list[str]:
        """The keys of all rows that exist."""
        with closing(self._connect()) as connection:
            rows = connection.execute(f"select cast({TABLES[entity][0]} as text) from {entity}")
            return [key for (key,) in rows]

    def _connect(self) -> sqlite3.Connection:
        connection = connect(self.path)
        if lacks(connection, TABLES):
            create_tables(connection)
        return connection
