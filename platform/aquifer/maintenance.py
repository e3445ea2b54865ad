"""Maintenance: what keeps the lake small and quick, and forgets what has had its time.

Belongs here: when tables are compacted and sorted, retention, VACUUM. Does not: which files that
takes (`compaction`), which runs are forgotten (`history`), and anything that changes what a query
of the present answers, but for bronze rows past their retention.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import Config, JobDefinition, MetadataValue, OpExecutionContext, job, op
from pydantic import Field
from upath import UPath

from aquifer.automation import RETRIES
from aquifer.compaction import cluster, compact, crowded
from aquifer.errors import SettingError
from aquifer.history import forget_runs
from aquifer.lake import RETENTION, SEQUENCE, Lake, shorten_log
from aquifer.runtime import SCRATCH, remove_tree

STALE_SCRATCH = timedelta(days=1)

INSTANT = 'Timestamp(Microsecond, Some("UTC"))'
"""The columns' type; delta-rs compares no other with them, `timestamp '...'` neither."""


def _days(setting: str, default: int) -> int:
    days = os.environ.get(setting) or str(default)
    if not days.isdecimal():
        raise SettingError(f"{setting} is '{days}'; write a number of days")
    return int(days)


class MaintenanceConfig(Config):
    """How thorough the maintenance is."""

    cluster: bool = Field(
        default=False, description="Sort the files by the columns that queries filter on."
    )
    bronze_days: int = Field(
        default_factory=lambda: _days("AQUIFER_BRONZE_DAYS", 90),
        description="How long bronze rows are kept, counted from their ingestion.",
    )


class HistoryConfig(Config):
    """How long Dagster's history is kept."""

    run_days: int = Field(
        default_factory=lambda: _days("AQUIFER_RUN_DAYS", 30),
        description="How long runs are kept, with what they logged.",
    )


def maintain_table(
    lake: Lake, name: str, cluster_by: Sequence[str], bronze_days: int, readers: Sequence[str] = ()
) -> dict[str, int]:
    """Maintain one table; its files before and after, and those that VACUUM removed.

    Args:
        readers: the tables that are made from it; what one of them has yet to take in is kept.
    """
    before = len(lake.table(name).file_uris())
    if readers:
        kept_since = datetime.now(UTC) - timedelta(days=bronze_days)
        with lake.lease([name]):
            taken_in = min(lake.progress(reader, name) for reader in readers)
            lake.table(name).delete(
                f"_ingested_at < arrow_cast('{kept_since.isoformat()}', '{INSTANT}') "
                f"and {SEQUENCE} <= {taken_in}"
            )
    if cluster_by:
        cluster(lake, name, cluster_by)
    compact(lake, name)
    with lake.lease([name]):
        table = lake.table(name)
        # Full: also the files that killed writers left, which no log names.
        vacuumed = table.vacuum(int(RETENTION / timedelta(hours=1)), dry_run=False, full=True)
        shorten_log(table)
    return {"files before": before, "files": len(table.file_uris()), "vacuumed": len(vacuumed)}


def remove_stale_scratch(lake: Lake) -> int:
    """Remove what killed runs left of their batches; how many."""
    folder = UPath(lake.root, **dict(lake.storage_options)) / SCRATCH
    oldest = (datetime.now(UTC) - STALE_SCRATCH).timestamp()
    stale = [
        place
        for place in (folder.iterdir() if folder.exists() else [])
        if place.stat().st_mtime < oldest
    ]
    for place in stale:
        remove_tree(place)
    return len(stale)


def crowded_tables(lake: Lake) -> dict[str, int]:
    """The tables of which a partition has many small files, with their versions.

    Not those to which streams commit, of which each file is small on purpose until the night.
    """
    tables = {name: lake.table(name) for name in lake.names() if not lake.streamed(name)}
    return {name: int(table.version()) for name, table in tables.items() if crowded(table)}


def compaction_job() -> JobDefinition:
    """The job that puts small files together where there are many."""

    @op(required_resource_keys={"lake"}, retry_policy=RETRIES)
    def compact_tables(context: OpExecutionContext) -> None:
        lake: Lake = context.resources.lake.lake
        for name in crowded_tables(lake):
            before = len(lake.table(name).file_uris())
            compact(lake, name)
            context.log.info(
                "%s: %d files, were %d", name, len(lake.table(name).file_uris()), before
            )

    @job(name="compact", description="Puts small files together where there are many.")
    def compact_crowded() -> None:
        compact_tables()

    return compact_crowded


def maintenance_job(
    cluster_by: Mapping[str, Sequence[str]], readers: Mapping[str, Sequence[str]]
) -> JobDefinition:
    """The job that maintains every table of the lake.

    Args:
        cluster_by: for a table, the columns that its files are sorted by.
        readers: for a bronze table, the tables that are made from it.
    """

    @op(required_resource_keys={"lake"}, retry_policy=RETRIES)
    def maintain_tables(context: OpExecutionContext, config: MaintenanceConfig) -> None:
        lake: Lake = context.resources.lake.lake
        done: dict[str, Any] = {}
        for name in lake.names():
            columns = cluster_by.get(name, ()) if config.cluster else ()
            done[name] = maintain_table(
                lake, name, columns, config.bronze_days, readers.get(name, ())
            )
            context.log.info("%s: %s", name, done[name])
        context.add_output_metadata(
            {"tables": MetadataValue.json(done), "scratch removed": remove_stale_scratch(lake)}
        )

    @op
    def forget_history(context: OpExecutionContext, config: HistoryConfig) -> None:
        before = datetime.now(UTC) - timedelta(days=config.run_days)
        context.add_output_metadata({"runs forgotten": forget_runs(context.instance, before)})

    @job(description="Compaction, sorting, retention and VACUUM of every table; old runs go.")
    def maintain() -> None:
        maintain_tables()
        forget_history()

    return maintain
