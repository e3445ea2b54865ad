"""Events that a model is asked about, with all that it sees of them: in the stream, and of late.

Belongs here: what scores and monitoring share. Does not: what a model learns from
(`training_set`), which comes to the same features.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from aquifer.engine import register
from aquifer.features.point_in_time import latest_known
from aquifer.lake import DELETED
from aquifer.runtime import Runtime
from aquifer.silver_events import WATERMARK
from aquifer.spans import Span, within

if TYPE_CHECKING:
    from aquifer.models.event_classifier import EventClassifier

LATELY = timedelta(days=1)

MOST = 10_000
"""Of the events of late, about as many are looked at."""


def with_features(
    model: "EventClassifier", runtime: Runtime, where: str, columns: Sequence[str]
) -> pa.Table:
    """Events with all that a model sees of them, in order of time.

    Args:
        where: SQL that is true for the events.
        columns: further ones of the table of events; one that is also a feature is that feature.
    """
    event, session = model.event, runtime.session
    table = event.events
    entities = (column for view in model.features for column in view.entity)
    needed = [*dict.fromkeys([event.key, table.time, *entities, *columns])]
    schema = pa.schema([table.schema.field(name) for name in needed])
    listed = ", ".join(f"`{name}`" for name in needed)
    rows = session.sql(f"select {listed} from {table.name} where {where}").toArrow().cast(schema)
    query = event.sql(
        f"select {event.key} from {table.name} where {where}",
        event.spans(rows[table.time].cast(pa.int64()).to_pylist()),
        lambda name: f"select * from {name} where not {DELETED}",
    )
    found = session.sql(query).toArrow()
    own = [name for name in needed if name not in event.features]
    rows = rows.select(own).join(found, event.key, join_type="inner")
    rows = rows.sort_by([(table.time, "ascending"), (event.key, "ascending")])
    for view, names in model.features.items():
        rows = latest_known(runtime.lake, view, names, rows, table.time)
    return rows


def of_late(model: "EventClassifier", runtime: Runtime) -> pa.Table:
    """Some events of the last day, with all that a model sees of them."""
    event, lake = model.event, runtime.lake
    table = event.events
    register(runtime.session, lake, event.upstreams)
    upto = lake.progress(table.name, WATERMARK)
    lately = within(table.time, [Span(upto - LATELY // timedelta(microseconds=1), upto)])
    ((count,),) = runtime.session.sql(f"select count(*) from {table.name} where {lately}").collect()
    share = 1_000_000 * MOST // max(count, MOST)
    return with_features(
        model, runtime, f"{lately} and pmod(xxhash64({event.key}), 1000000) < {share}", []
    )
