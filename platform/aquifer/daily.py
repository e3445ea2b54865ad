"""Daily partitions: which days a run is for, and the runs that a sensor asks for.

Belongs here: what all tables share that are made day by day. Does not: which days of a table are
out of date (the table says so).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from dagster import (
    AssetExecutionContext,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    RunsFilter,
)

UNDER_WAY = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

COOL_DOWN = timedelta(minutes=15)
"""How long a sensor that asks for what the tables lack waits after a run that failed."""

FIRST, LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class Days(NamedTuple):
    """A range of days, both ends included."""

    first: date
    last: date

    def covers(self, other: "Days") -> bool:
        """Whether all days of another range are among these."""
        return self.first <= other.first and other.last <= self.last

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the one run for all of them."""
        return {FIRST: self.first.isoformat(), LAST: self.last.isoformat()}

    def request(self, selection: Sequence[AssetKey] | None = None) -> RunRequest:
        """One run for all of them, of all tables of a job or of some."""
        return RunRequest(run_key=None, tags=dict(self.tags), asset_selection=selection)


def days_of(context: AssetExecutionContext) -> Days | None:
    """The days that a run is for; None if it is not partitioned."""
    if not context.has_partition_key_range:
        return None
    keys = context.partition_key_range
    return Days(date.fromisoformat(keys.start), date.fromisoformat(keys.end))


def why_not_now(instance: DagsterInstance, job: str) -> str | None:
    """Why not to ask for days that are out of date, or None."""
    if instance.get_runs(RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1):
        return "a run is at work on days that are out of date"
    ended_lately = RunsFilter(job_name=job, updated_after=datetime.now(UTC) - COOL_DOWN)
    latest = instance.get_runs(ended_lately, limit=1)
    if latest and latest[0].status == DagsterRunStatus.FAILURE:
        return "the last run failed; it is tried again after a while"
    return None
