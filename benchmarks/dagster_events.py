"""Storing Dagster's events of what a run plans: its own SQLite storage, and the pooled one."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common import show
from dagster import AssetKey, DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.events import AssetCheckEvaluationPlanned, AssetMaterializationPlannedData
from dagster._core.storage.event_log import SqliteEventLogStorage

from aquifer.dagster_event_log import PooledSqliteEventLogStorage

TABLES = 50
CHECKS = 4
"""A table; with its materialisation, as many events as a run of all tables plans."""


def planned(run_id: str) -> list[EventLogEntry]:
    """What a run plans."""
    entries = []
    for table in range(TABLES):
        key = AssetKey(["silver", f"table_{table}"])
        plans = [
            (DagsterEventType.ASSET_MATERIALIZATION_PLANNED, AssetMaterializationPlannedData(key)),
            *(
                (
                    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
                    AssetCheckEvaluationPlanned(asset_key=key, check_name=f"check_{check}"),
                )
                for check in range(CHECKS)
            ),
        ]
        entries += [
            EventLogEntry(
                error_info=None,
                level=10,
                user_message="",
                run_id=run_id,
                timestamp=time.time(),
                dagster_event=DagsterEvent(kind.value, "main", event_specific_data=data),
            )
            for kind, data in plans
        ]
    return entries


def milliseconds(store: Callable[[Sequence[EventLogEntry]], None]) -> str:
    """Of an event, when a second run's are stored."""
    store(planned("first"))
    events = planned("second")
    started = time.perf_counter()
    store(events)
    return f"{1000 * (time.perf_counter() - started) / len(events):.1f}"


with tempfile.TemporaryDirectory() as folder:
    own = SqliteEventLogStorage(str(Path(folder) / "own"))
    pooled = PooledSqliteEventLogStorage(str(Path(folder) / "pooled"))
    in_batches = PooledSqliteEventLogStorage(str(Path(folder) / "batches"))
    show(
        f"Storing {TABLES * (1 + CHECKS)} events",
        ["storage", "ms an event"],
        [
            ("Dagster's own", milliseconds(lambda events: [*map(own.store_event, events)])),
            ("pooled", milliseconds(lambda events: [*map(pooled.store_event, events)])),
            ("pooled, in one batch", milliseconds(in_batches.store_event_batch)),
        ],
    )
    for storage in (own, pooled, in_batches):
        storage.dispose()
