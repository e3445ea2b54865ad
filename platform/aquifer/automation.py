"""When a table is materialised without anyone asking: named conditions that all layers share."""

from collections.abc import Iterable
from datetime import timedelta

from dagster import (
    AssetSelection,
    AutomationCondition,
    Backoff,
    FreshnessPolicy,
    Jitter,
    RetryPolicy,
)

RETRIES = RetryPolicy(max_retries=3, delay=2, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)
"""For what may pass by itself; an `AquiferError` fails at once unless it is a `PassingError`."""

COOL_DOWN = "*/15 * * * *"
"""How often a stale table is tried again: a source that is down must not start run after run."""


def upstream_advanced(
    streams: Iterable[str] = (), *, daily: Iterable[str] = ()
) -> AutomationCondition:  # type: ignore[type-arg]
    """An upstream table was materialised, and no check upstream forbids to go on.

    Args:
        streams: upstream tables that do not count: the run that drains them, and tells of them
            every now and then, takes what hangs on them along.
        daily: upstream tables that are made day by day, of which not all days have to be there.
    """
    eager = AutomationCondition.eager()
    if streams:
        eager = eager.ignore(_tables(streams))
    if daily:
        missing = AutomationCondition.any_deps_missing()
        some = missing.ignore(_tables(daily))
        eager = eager.replace("any_deps_missing", some)  # type: ignore[arg-type]
    return (eager & AutomationCondition.all_deps_blocking_checks_passed()).with_label(
        "upstream advanced"
    )


def _tables(names: Iterable[str]) -> AssetSelection:
    return AssetSelection.assets(*(name.split(".") for name in names))


def gone_stale() -> AutomationCondition:  # type: ignore[type-arg]
    """The freshness policy warns or fails: once, and then again after each cool-down."""
    stale = AutomationCondition.freshness_warned() | AutomationCondition.freshness_failed()
    again = AutomationCondition.cron_tick_passed(COOL_DOWN)
    # Dagster tells the "since" conditions of an asset apart by the kinds of conditions within. With
    # "or" as its first, this one would share the memory of that in `eager`, and each tick of the
    # cool-down would materialise what is fresh.
    #
    # What is fresh is not asked whether a cool-down has passed: Dagster stores each evaluation that
    # is another than the one before, 18 MB an hour for nothing.
    due = (stale & (stale.newly_true() | again)).since_last_handled()  # type: ignore[misc]
    allowed = AutomationCondition.all_deps_blocking_checks_passed()
    return (due & allowed & ~AutomationCondition.in_progress()).with_label("gone stale")


def never() -> AutomationCondition:  # type: ignore[type-arg]
    """Holds never: for a check that is run with its table, and only with it.

    Dagster names the checks of a silver table in each run that it asks for, since they cannot be
    run apart, and then runs no check that it does not name: gold's would be left out. When a check
    has a condition of its own, it adds all others of the tables.
    """
    missing = AutomationCondition.missing()
    return (missing & ~missing).with_label("never by itself")


def freshness(within: timedelta) -> FreshnessPolicy:
    """Fail after `within` without a materialisation, warn after four fifths of it."""
    return FreshnessPolicy.time_window(fail_window=within, warn_window=within * 4 / 5)
