"""The point-in-time join: entities at instants, with the features that were known then.

What holds from later on is never seen, so that a model learns from what it will have when it is
asked.
"""

from collections.abc import Sequence
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from aquifer.features.view import DAY, EVENT_TIME, FeatureView
from aquifer.lake import Lake

AT, KNOWN = "_at", "_known"

MICROSECOND = timedelta(microseconds=1)


def point_in_time_join(
    entities: DataFrame,
    features: DataFrame,
    *,
    entity: Sequence[str],
    at: str = "event_time",
    event_time: str = "event_time",
    within: timedelta | None = None,
) -> DataFrame:
    """Each row of `entities` with the latest features of its entity; null where there are none.

    Args:
        entities: rows with the columns of an entity and an instant; they may be alike.
        features: rows with the columns of an entity, the instant from which they hold, and
            features; one an entity and instant.
        entity: the columns that say whose a row is.
        at: the column of the instant in `entities`.
        event_time: the column of the instant in `features`.
        within: how old features may be; None: any age. Exactly so old is too old.
    """
    asked = entities.select(
        *entity, F.col(at).alias(AT), F.lit(None).cast("timestamp").alias(KNOWN)
    )
    held = features.select(*entity, F.col(event_time).alias(AT), F.col(event_time).alias(KNOWN))
    # By range, not rows: features that hold from the very instant on are known.
    past = (
        Window.partitionBy(*entity)
        .orderBy(AT)
        .rangeBetween(Window.unboundedPreceding, Window.currentRow)
    )
    latest = F.max(KNOWN).over(past)
    known = asked.unionByName(held).select(*entity, AT, latest.alias(KNOWN)).distinct()
    if within is not None:
        oldest = F.col(AT) - F.expr(f"interval {within // timedelta(microseconds=1)} microseconds")
        known = known.where(F.col(KNOWN) > oldest)
    values = [name for name in features.columns if name not in (*entity, event_time)]
    found = known.join(
        features.select(*entity, F.col(event_time).alias(KNOWN), *values), [*entity, KNOWN]
    ).select(*entity, F.col(AT).alias(at), *values)
    return entities.join(found, [*entity, at], "left")


def latest_known(
    lake: Lake, view: FeatureView, names: Sequence[str], rows: pa.Table, at: str
) -> pa.Table:
    """Few rows with the features of a view that were known at their instants; no engine is asked.

    It comes to what `point_in_time_join` does.

    Args:
        names: the features.
        rows: in order of time.
        at: the column of the instant.
    """
    columns = [*view.entity, EVENT_TIME, *names]
    held = view.schema.empty_table().select(columns)
    if len(rows):
        first, last = (pick(rows[at]).as_py() for pick in (pc.min, pc.max))
        since = (first - view.within).date() - timedelta(days=1)
        days = [(DAY, ">=", since), (DAY, "<=", last.date())]
        held = lake.read(view.name, columns, days).cast(held.schema).sort_by(EVENT_TIME)
    held = held.rename_columns([KNOWN if name == EVENT_TIME else name for name in columns])
    # Exactly so old is too old.
    tolerance = -(view.within // MICROSECOND) + 1
    return rows.join_asof(
        held, on=at, by=view.entity, tolerance=tolerance, right_on=KNOWN, right_by=view.entity
    )
