"""Stock snapshots: which days of `gold.fct_inventory` are out of date.

Belongs here: what changes a day that has been snapshotted. Does not: the snapshot itself (its dbt
model) and when it runs (`jobs`).
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow.compute as pc

from aquifer.daily import Days
from aquifer.gold import INTERVAL_SEQUENCE
from aquifer.lake import DELETED, NOTHING, SEQUENCE, Lake

FIRST_DAY = date(2010, 12, 1)
"""The first day of which a stock snapshot is kept."""

SNAPSHOT = "gold.fct_inventory"
MOVEMENTS = "silver.stock_movements"
STORES = "gold.dim_store"
MEMBERS = {"store_key": (STORES, "store_id"), "product_key": ("gold.dim_product", "stock_code")}
"""The dimension and the natural key behind each key of a snapshot."""

DIMENSIONS = ("gold.dim_date", "gold.dim_product", STORES)
"""What has to be there before a snapshot can be taken."""


def touched_days(lake: Lake) -> Days | None:
    """The first day whose snapshot is out of date and the last day of all, or None."""
    if any(lake.seq(dimension) == NOTHING for dimension in DIMENSIONS):
        return None
    if lake.progress(SNAPSHOT, MOVEMENTS) == NOTHING:
        return all_days(lake)
    return _until_last(lake, [*_moved(lake), *_versioned(lake), *_completed(lake)])


def all_days(lake: Lake) -> Days | None:
    """The first and last day that there is a snapshot of, or None."""
    return _until_last(lake, [FIRST_DAY])


def takes_in_all(lake: Lake, variables: Mapping[str, Any]) -> bool:
    """Whether a build with these variables leaves no day out of date."""
    days = touched_days(lake)
    if days is None:
        return True
    first, last = (day.isoformat() for day in days)
    return variables.get("first_day", "") <= first and last <= variables.get("last_day", "")


def _until_last(lake: Lake, touched: list[date]) -> Days | None:
    lasts = [*_last_movement(lake), *_last_held(lake)]
    if not touched or not lasts:
        return None
    first = max(min(touched), FIRST_DAY)
    return Days(first, max(*lasts, first))


def _last_movement(lake: Lake) -> Iterator[date]:
    if lake.exists(MOVEMENTS):
        moved = lake.read(MOVEMENTS, ["moved_at"], [(DELETED, "=", False)])
        if len(moved):
            yield pc.max(moved["moved_at"]).as_py().date()


def _last_held(lake: Lake) -> Iterator[date]:
    """The last day that there is a snapshot of: its movement may have been moved to before."""
    if lake.exists(SNAPSHOT):
        days = [partition["day"] for partition in lake.table(SNAPSHOT).partitions()]
        yield from (date.fromisoformat(day) for day in sorted(days)[-1:])


def _moved(lake: Lake) -> Iterator[date]:
    """A movement changes its day, or the earliest that it has been on, and all days after."""
    since = lake.progress(SNAPSHOT, MOVEMENTS)
    columns = ["_earliest_moved_at", "moved_at"]
    moved = lake.read(MOVEMENTS, columns, [(SEQUENCE, ">", since)])
    if len(moved):
        yield pc.min(pc.coalesce(*moved.columns)).as_py().date()


def _versioned(lake: Lake) -> Iterator[date]:
    """A version of a store that is new or has grown holds on the days within."""
    since = lake.progress(SNAPSHOT, STORES)
    versions = lake.read(STORES, ["valid_from"], [(INTERVAL_SEQUENCE, ">", since)])
    if len(versions):
        yield pc.min(versions["valid_from"]).as_py().date()


def _completed(lake: Lake) -> Iterator[date]:
    """A member that was unknown to a snapshot may have become known."""
    for key, (dimension, natural_key) in MEMBERS.items():
        if not lake.lags(SNAPSHOT, dimension):
            continue
        members = lake.read(dimension, [key, natural_key])
        known = dict(zip(members[natural_key].to_pylist(), members[key].to_pylist(), strict=True))
        held = lake.read(SNAPSHOT, ["day", natural_key], [(key, "=", known["unknown"])])
        completed = held.filter(pc.is_in(held[natural_key], value_set=members[natural_key]))
        if len(completed):
            yield pc.min(completed["day"]).as_py()
