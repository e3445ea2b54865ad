"""The point-in-time join: entities at instants, with the features that were known then.

What holds from later on is never seen, so that a model learns from what it will have when it is
asked.
"""

from collections.abc import Sequence
from datetime import timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

AT, KNOWN = "_at", "_known"


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
