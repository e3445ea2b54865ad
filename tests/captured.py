"""A shop whose order database is on PostgreSQL, and whose changes Debezium puts into Kafka.

Belongs here: writing to it, waiting for what has been captured, and leaving nothing behind. Does
not: the servers (`deploy.servers`), what is tested on them.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import requests
from kafka_broker import Broker
from worlds import World

from assets import tables
from deploy import connector
from deploy.servers import KafkaConnect, Postgres
from resources.event_log.kafka import KafkaEventLog
from resources.event_log.kafka_client import KafkaClient
from resources.order_database import TOPICS, OutboxEventLog, create_tables
from resources.order_server import OrderServer
from resources.sqlite import connect, transaction

SECONDS = 120
"""How long anything may take that comes by itself."""

TABLES = [table for table in tables.silver if table.reads.resource == "orders"]
SENTINELS = "orders.regions"


def until(condition: Callable[[], Any], what: str) -> float:
    """Wait until a condition holds; the seconds that it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + SECONDS, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


class Shop:
    """The simulation's own database, the server that its changes are written to, and their log."""

    def __init__(self, folder: Path, kafka: Broker, postgres: Postgres, worker: KafkaConnect):
        self.outbox = OutboxEventLog(folder / "orders.db")
        with closing(connect(self.outbox.path)) as connection:
            create_tables(connection)
            connection.execute("update clock set ts_us = 1300000000000000")
        self.postgres, self.worker = postgres, worker
        self.database = f"shop_{uuid4().hex[:8]}"
        self.url = postgres.create(self.database)
        self.server = OrderServer(self.url)
        self.log = KafkaEventLog(KafkaClient(kafka.url))

    def play(self, *statements: str) -> None:
        """Change the simulation's database, each time a second later in its time."""
        with closing(connect(self.outbox.path)) as connection, transaction(connection):
            for statement in statements:
                connection.execute("update clock set ts_us = ts_us + 1000000")
                connection.execute(statement)

    def write(self, *statements: str) -> None:
        """Change the simulation's database, and the server's with it."""
        self.play(*statements)
        self.server.apply(self.outbox.path)

    def execute(self, sql: str) -> list[tuple]:
        """Run a statement on the server, in the shop's database."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []

    def capture(self) -> None:
        """Have the changes captured from now on."""
        for topic in TOPICS:
            self.log.create_topic(topic)
        connector.register(self.worker.url, self.url)

    def settle(self) -> float:
        """Wait until all that is written has been captured; the seconds that it took."""
        name = f"Land {uuid4().hex}"
        self.write(f"insert into regions values ('{name}', 'North')")
        position = dict.fromkeys(self.log.end_offsets(SENTINELS), 0)

        def captured() -> bool:
            events = self.log.read(SENTINELS, position, 10_000)
            for partition, offset in zip(
                events["partition"].to_pylist(), events["offset"].to_pylist(), strict=True
            ):
                position[partition] = offset + 1
            return any(name.encode() in key for key in events["key"].to_pylist())

        return until(captured, "the last change is captured")

    def close(self) -> None:
        """Remove the connector, its position, its slot, its topics and the database."""
        at = f"{self.worker.url}/connectors/{connector.NAME}"
        if requests.put(f"{at}/stop", timeout=60).ok:
            until(lambda: self._forgets(at), "the connector has stopped")
            requests.delete(at, timeout=60).raise_for_status()
        until(self._drops, "nobody uses the database")
        for future in self.log._client.admin.delete_topics(TOPICS).values():
            future.exception()
        until(lambda: not {*TOPICS} & {*self.log.topics()}, "the topics are gone")
        self.log.close()

    @staticmethod
    def _forgets(at: str) -> bool:
        return requests.delete(f"{at}/offsets", timeout=60).ok

    def _drops(self) -> bool:
        with closing(psycopg2.connect(self.postgres.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                try:
                    cursor.execute(
                        "select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                        f"where slot_name = '{connector.SLOT}'"
                    )
                    cursor.execute(f"drop database if exists {self.database} with (force)")
                except psycopg2.errors.ObjectInUse:
                    return False
        return True


@contextmanager
def shop(
    folder: Path, kafka: Broker, postgres: Postgres, worker: KafkaConnect
) -> Iterator[Shop]:
    """A shop of its own, of which nothing is left afterwards."""
    shop = Shop(folder, kafka, postgres, worker)
    try:
        yield shop
    finally:
        shop.close()


class Taken(World):
    """A world into which the tables of the order database are taken from a log."""

    def take_in(self, log: Any) -> None:
        """Take in what is new, and see that it is accounted for."""
        for table in TABLES:
            table.reads.advance(self.lake, log)
        for table in TABLES:
            assert table.advance(self.runtime).accounted, table.name
