"""The source systems as Dagster resources; `reading()` gives each as bronze takes it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dagster import ConfigurableResource

from aquifer.eventlog import EventLog, EventReader
from aquifer.landing import LandingFolder
from resources.event_log.opening import create_topics, opened
from resources.exchange_rates import ExchangeRates
from resources.order_database import TOPICS, OutboxEventLog
from resources.order_server import order_server
from resources.rewards_database import RewardsExtracts
from resources.simulation.play import SEED, Simulation
from resources.simulation.rates_server import serve_rates
from resources.simulation.streams.catalogue import catalogue
from resources.simulation.streams.live import Encoded, Sent, WallClock, send
from resources.simulation.streams.stream import EventStream


class LandingResource(ConfigurableResource):  # type: ignore[type-arg]
    """The folder into which invoice files are delivered."""

    folder: str

    @property
    def landing(self) -> LandingFolder:
        return LandingFolder(Path(self.folder))

    @contextmanager
    def reading(self) -> Iterator[LandingFolder]:
        yield self.landing


class EventLogResource(ConfigurableResource):  # type: ignore[type-arg]
    """The event log, by URL, with the platform's topics in it."""

    url: str
    folder: str
    retention_days: int

    @contextmanager
    def reading(self) -> Iterator[EventLog]:
        """The log, for reading as for writing; for one thread."""
        with opened(self.url, Path(self.folder)) as log:
            create_topics(log, timedelta(days=self.retention_days))
            yield log


class OrdersResource(ConfigurableResource):  # type: ignore[type-arg]
    """The change events of the order database: of its outbox, or captured from a server.

    Args:
        database: where the simulation plays; its outbox has the changes.
        captured: whether they are written to the server that AQUIFER_ORDERS names, and are read
            as they come from there, in the event log.
    """

    database: str
    captured: bool = False
    events: EventLogResource

    @contextmanager
    def reading(self) -> Iterator[EventReader]:
        if not self.captured:
            yield OutboxEventLog(Path(self.database))
            return
        with self.events.reading() as log:
            # Connect creates the topic of a table when that has a change.
            for topic in TOPICS:
                log.create_topic(topic, retention=timedelta(days=self.events.retention_days))
            yield log

    def publish(self) -> None:
        """Bring the changes that the simulation has played to where they are read."""
        server = order_server(os.environ) if self.captured else None
        if server:
            server.apply(Path(self.database))
            server.await_capture()


class RewardsResource(ConfigurableResource):  # type: ignore[type-arg]
    """The rewards database."""

    database: str

    @contextmanager
    def reading(self) -> Iterator[RewardsExtracts]:
        yield RewardsExtracts(Path(self.database))


class RatesResource(ConfigurableResource):  # type: ignore[type-arg]
    """The rates service; without a URL, a simulated one that lives as long as it is read."""

    url: str = ""
    rewards: RewardsResource

    @contextmanager
    def reading(self) -> Iterator[ExchangeRates]:
        clock = RewardsExtracts(Path(self.rewards.database))
        if self.url:
            yield ExchangeRates(self.url, clock)
        else:
            with serve_rates() as url:
                yield ExchangeRates(url, clock)


class SimulationResource(ConfigurableResource):  # type: ignore[type-arg]
    """The simulated source systems."""

    orders: OrdersResource
    rewards: RewardsResource
    landing: LandingResource

    def advance(self) -> dict[str, int]:
        """Play the databases up to the latest landed day; the writes that each took."""
        simulation = Simulation(Path(self.orders.database), Path(self.rewards.database))
        writes = simulation.advance(self.landing.landing.files())
        self.orders.publish()
        return writes

    def live(
        self,
        start: datetime | None,
        rate: float,
        *,
        seed: int = SEED,
        topics: Sequence[str] = (),
        clean: bool = False,
        fraud: str | None = None,
    ) -> EventStream:
        """The live events of stores and shop, about what the databases hold now.

        Args:
            start: when the first event is due; None: at once.
            rate: events a second.
            topics: those that share the rate; none named: all.
            clean: without what goes wrong on the way.
            fraud: the scenario of what is committed at the tills; None: nothing.
        """
        orders, rewards = Path(self.orders.database), Path(self.rewards.database)
        known = catalogue(orders, rewards, self.landing.landing, SEED)
        begin = start or datetime.now(UTC)
        return EventStream(seed, begin, rate, known, topics, clean=clean, fraud=fraud)

    def send(
        self,
        stream: EventStream,
        log: EventLog,
        minutes: float,
        ended: Callable[[], bool],
        encoded: Encoded | None = None,
    ) -> Sent:
        """Send live events until asked to end, or so many minutes of them; 0: without end.

        Args:
            encoded: writes the events in another format than JSON.
        """
        slots = stream.slots(timedelta(minutes=minutes)) or None
        return send(stream, log, slots, ended, WallClock(), encoded)
