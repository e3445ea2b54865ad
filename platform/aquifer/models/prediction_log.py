"""The prediction log: what the model service answers, on its way to the event log.

Belongs here: a bounded queue and the thread that empties it. Does not: what an event says
(`prediction`).

No answer waits for it. When the event log is away, predictions wait in the queue; when that is
full, they are dropped and counted.
"""

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pyarrow as pa

from aquifer.errors import AquiferError, PassingError
from aquifer.eventlog import PRODUCED, EventLog
from aquifer.models.metrics import Metrics

logger = logging.getLogger("aquifer.models")

TOPIC = "model.predictions"

MOST_WAITING = 20_000
MOST_FORWARDED = 16
"""Batches from edge devices that wait for the event log."""

BATCH = 500
"""Events that are written at once: few, as the service answers nothing while they are packed."""

PAUSE_SECONDS = 0.25
AWAY_SECONDS = 2.0
"""Before the event log is tried again."""

END_SECONDS = 10.0
"""How long the end waits for what is in the queue."""

TROUBLE = (AquiferError, OSError, sqlite3.Error)

Event = Callable[[], bytes]
"""Writes an event; called in the log's thread."""


class PredictionLog:
    """Events on their way.

    Args:
        reading: opens the event log, for one thread.
    """

    def __init__(
        self, reading: Callable[[], AbstractContextManager[EventLog]], metrics: Metrics
    ) -> None:
        self._reading = reading
        self._metrics = metrics
        self._waiting: deque[Event] = deque()
        self._forwarded: deque[tuple[Sequence[bytes], Future[None]]] = deque()
        self._wake = threading.Event()
        self._ended = False
        self._away: str | None = None
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)
        metrics.queue.set_function(lambda: len(self._waiting))

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end; what the event log does not take in time is dropped."""
        self._ended = True
        self._wake.set()
        self._thread.join(END_SECONDS)
        if self._waiting:
            self._metrics.dropped.inc(len(self._waiting))
            logger.warning("%d predictions are lost, as the event log is away", len(self._waiting))

    @property
    def writes(self) -> bool:
        """Whether its thread lives."""
        return self._thread.is_alive()

    def put(self, event: Event) -> None:
        """Let an event be written; when too many wait, it is dropped."""
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.dropped.inc()
            return
        self._waiting.append(event)

    def forward(self, events: Sequence[bytes]) -> Future[None]:
        """Write events that another has made; done when they are durable.

        Raises:
            PassingError: too many wait; by the future, the event log is away.
        """
        if len(self._forwarded) >= MOST_FORWARDED:
            raise PassingError("too many predictions wait for the event log; send them again")
        written: Future[None] = Future()
        self._forwarded.append((events, written))
        self._wake.set()
        return written

    def _run(self) -> None:
        while True:
            try:
                with self._reading() as log:
                    self._write_on(log)
                    return
            except TROUBLE as error:
                self._tell(error)
            if self._ended:
                return
            self._wake.wait(AWAY_SECONDS)
            self._wake.clear()

    def _write_on(self, log: EventLog) -> None:
        while True:
            ended = self._ended
            self._flush(log)
            if ended:
                return
            self._wake.wait(PAUSE_SECONDS)
            self._wake.clear()

    def _flush(self, log: EventLog) -> None:
        while self._forwarded:
            events, written = self._forwarded[0]
            # Who has given up meanwhile sends them again.
            if written.running() or written.set_running_or_notify_cancel():
                _produce(log, events)
                written.set_result(None)
            self._forwarded.popleft()
        while self._waiting:
            # They leave the queue when the log has them.
            batch = [self._waiting[n] for n in range(min(BATCH, len(self._waiting)))]
            _produce(log, [event() for event in batch])
            for _ in batch:
                self._waiting.popleft()
        if self._away:
            logger.info("the event log is back")
            self._away = None

    def _tell(self, error: Exception) -> None:
        said = f"the event log does not take predictions: {error}"
        if said != self._away:
            logger.warning("%s; up to %d wait for it", said, MOST_WAITING)
            self._away = said
        while self._forwarded:
            written = self._forwarded.popleft()[1]
            if written.running() or written.set_running_or_notify_cancel():
                written.set_exception(PassingError(said))


def _produce(log: EventLog, events: Sequence[bytes]) -> None:
    now = datetime.now(UTC)
    # Without a key: the order of predictions says nothing, and partitions fill evenly.
    rows = {"key": [None] * len(events), "value": events, "timestamp": [now] * len(events)}
    log.produce(TOPIC, pa.table(rows, schema=PRODUCED))
