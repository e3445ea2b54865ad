"""The topics of an event log as a person looks at them: what they hold, and who lags behind.

Belongs here: gathering the figures. Does not: printing them (`printing`).
"""

import pyarrow as pa

from aquifer.eventlog import EventLog, lag

COLUMNS = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("partitions", pa.int64()),
        pa.field("events", pa.int64()),
        pa.field("end offsets", pa.string()),
        pa.field("lag", pa.string()),
    ]
)


def overview(log: EventLog) -> pa.Table:
    """A row a topic: partitions, events held, the end of each partition, lag by group."""
    return pa.Table.from_pylist([_row(log, topic) for topic in log.topics()], COLUMNS)


def _row(log: EventLog, topic: str) -> dict[str, str | int]:
    begins, ends = log.begin_offsets(topic), log.end_offsets(topic)
    return {
        "topic": topic,
        "partitions": len(ends),
        "events": sum(ends.values()) - sum(begins.values()),
        "end offsets": " ".join(str(ends[partition]) for partition in sorted(ends)),
        "lag": ", ".join(f"{group}: {lag(log, group, topic):,}" for group in log.groups(topic)),
    }
