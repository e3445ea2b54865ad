"""Which event log a URL names, and the topics that the platform itself reads from it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from aquifer.errors import SettingError
from aquifer.eventlog import RETENTION, EventLog
from resources.event_log.embedded import EmbeddedEventLog
from resources.event_log.kafka import KafkaEventLog
from resources.event_log.kafka_client import SCHEME, KafkaClient

EMBEDDED = "sqlite://"

TOPICS = (
    *("pos.events", "pos.verdicts", "web.events", "mobile.events", "iot.readings"),
    "model.predictions",
)


@contextmanager
def opened(url: str, folder: Path) -> Iterator[EventLog]:
    """The event log of a URL for one thread, and its connections closed afterwards.

    Args:
        url: `sqlite://`, the embedded one, or `kafka://host:port[,host:port]`.
        folder: where the embedded one keeps its events.
    """
    with closing(_of(url, folder)) as log:
        yield log


def create_topics(log: EventLog, retention: timedelta = RETENTION) -> None:
    """Create those of the platform's topics that are not there."""
    for topic in TOPICS:
        log.create_topic(topic, retention=retention)


def _of(url: str, folder: Path) -> EventLog:
    if url == EMBEDDED:
        return EmbeddedEventLog(folder)
    if url.startswith(SCHEME):
        return KafkaEventLog(KafkaClient(url))
    raise SettingError(f"AQUIFER_EVENT_LOG is '{url}'; write {EMBEDDED} or kafka://host:port")
