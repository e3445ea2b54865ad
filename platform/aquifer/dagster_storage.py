"""Dagster's runs and ticks in SQLite, with connections that stay open.

Belongs here: the databases of runs and of schedules and sensors. Does not: that of events
(`dagster_event_log`). Dagster's own storage makes an engine, opens the database and closes it each
time that it asks, which its daemon does all the time, also when nothing happens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from dagster import StringSource
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine

EVALUATIONS_KEPT = timedelta(days=1)
"""How long what the automation conditions found is kept: half a megabyte a tick that finds news."""


class Pooled:
    """A storage of one database, in the Dagster home that its configuration names."""

    _conn_string: str

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The configuration in `dagster.yaml`."""
        return {"home": StringSource}

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection to the database, in a transaction."""
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(
            self._conn_string, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        )


class PooledSqliteRunStorage(Pooled, SqliteRunStorage):
    """Dagster's SQLite storage of runs: the same file."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """The storage that `dagster.yaml` describes."""
        return cls.from_local(str(Path(config_value["home"]) / "history"), inst_data)


class PooledSqliteScheduleStorage(Pooled, SqliteScheduleStorage):
    """Dagster's SQLite storage of schedules, sensors and their ticks: the same file."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """The storage that `dagster.yaml` describes."""
        folder = str(Path(config_value["home"]) / "schedules")
        return cls.from_local(folder, inst_data)  # type: ignore[return-value]

    def purge_asset_evaluations(self, before: float) -> None:
        """Forget what automation conditions found before an instant, or over a day ago.

        Dagster asks for it at each tick, to keep them for 30 days: gigabytes.
        """
        kept_since = (datetime.now(UTC) - EVALUATIONS_KEPT).timestamp()
        super().purge_asset_evaluations(max(before, kept_since))
