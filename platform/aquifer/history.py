"""Dagster's own history: forgetting runs that have had their time.

Belongs here: which runs are forgotten. Does not: ticks, whose retention is in `dagster.yaml`, and
how events are deleted (Dagster, `dagster_event_log`).
"""

from datetime import datetime

from dagster import DagsterInstance, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_START_TAG, PARTITION_NAME_TAG


def forget_runs(instance: DagsterInstance, before: datetime) -> int:
    """Delete finished runs that were created before an instant, with events and output; how many.

    Kept is what says how things are now: the run that last materialised a table, and those of
    partitions, which would count as missing without it.
    """
    old = instance.get_runs(RunsFilter(statuses=FINISHED_STATUSES, created_before=before))
    latest = _latest_runs(instance)
    forgotten = [
        run.run_id
        for run in old
        if run.run_id not in latest
        and not {PARTITION_NAME_TAG, ASSET_PARTITION_RANGE_START_TAG} & run.tags.keys()
    ]
    for run_id in forgotten:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    return len(forgotten)


def _latest_runs(instance: DagsterInstance) -> set[str]:
    """The runs that last materialised a table, or last meant to."""
    latest = set()
    for record in instance.get_asset_records():
        entry = record.asset_entry
        latest.add(entry.last_run_id or "")
        if entry.last_materialization:
            latest.add(entry.last_materialization.run_id)
    return latest
