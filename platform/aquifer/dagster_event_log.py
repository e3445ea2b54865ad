"""Dagster's event log in SQLite, with connections that stay open and batches in one transaction.

Dagster's own storage opens a database for each event, compiles its statements and closes it, twice
or more where the event is of an asset. A main job stores over a thousand events.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from dagster import EventLogEntry, StringSource
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, delete, func, select

BATCH_SIZE = {"DAGSTER_EVENT_BATCH_SIZE": "1000"}
"""The environment variable by which Dagster hands over events in batches of so many."""

OPEN_DATABASES = 16
"""How many databases stay open, those used last: each run has one."""


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log: the same files and events, for a fraction of the time.

    Args:
        home: the Dagster home.
    """

    def __init__(self, home: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._engines_lock = threading.Lock()
        self._batch = threading.local()
        self._tables: set[str] = set()
        super().__init__(str(Path(home) / "history" / "runs"), inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration in `dagster.yaml`."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """The storage that `dagster.yaml` describes."""
        return cls(config_value["home"], inst_data)

    def has_table(self, table_name: str) -> bool:
        """Whether the database of all assets has a table; Dagster asks for each event."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        """A connection to the database of a run, in a transaction."""
        shard = str(run_id)
        transactions: ExitStack | None = getattr(self._batch, "transactions", None)
        if transactions is None:
            with self._engine(shard).begin() as connection:
                yield connection
        else:
            held: dict[str, Connection] = self._batch.connections
            if shard not in held:
                held[shard] = transactions.enter_context(self._engine(shard).begin())
            yield held[shard]

    def index_connection(self) -> Any:
        """A connection to the database of all assets, in a transaction."""
        return self.run_connection(INDEX_SHARD_NAME)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events all together: each database takes them whole or not at all."""
        with ExitStack() as transactions:
            transactions.callback(self._batch.__dict__.clear)
            self._batch.transactions, self._batch.connections = transactions, {}
            super().store_event_batch(events)

    def delete_events(self, run_id: str) -> None:
        """Delete the events of a run, and of its checks all but the latest of each, with its file.

        Dagster leaves the file, and what the checks of all runs said.
        """
        super().delete_events(run_id)
        checks = AssetCheckExecutionsTable
        latest = select(func.max(checks.c.id)).group_by(checks.c.asset_key, checks.c.check_name)
        with self.index_connection() as connection:
            connection.execute(
                delete(checks).where(checks.c.run_id == run_id, checks.c.id.not_in(latest))
            )
        with self._engines_lock:
            engine = self._engines.pop(run_id, None)
        if engine is not None:
            engine.dispose()
        self._initialized_dbs.discard(run_id)
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(self.path_for_shard(run_id) + ending).unlink(missing_ok=True)

    def dispose(self) -> None:
        """Close the connections."""
        for engine in self._engines.values():
            engine.dispose()
        super().dispose()

    def _engine(self, shard: str) -> Engine:
        with self._engines_lock:
            engine = self._engines.pop(shard, None) or self._opened(shard)
            self._engines[shard] = engine
            if len(self._engines) > OPEN_DATABASES:
                self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def _opened(self, shard: str) -> Engine:
        # Dagster's own makes the database if there is none.
        with super().run_connection(shard):
            return create_engine(
                self.conn_string_for_shard(shard),
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
