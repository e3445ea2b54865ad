"""A shop whose order database is on PostgreSQL, and whose changes Debezium puts into Kafka.

Belongs here: writing to it, waiting for what has been captured, and leaving nothing behind. Does
not: the servers (`deploy.servers`), what is tested on them.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg2
import requests
from confluent_kafka.admin import AdminClient
from kafka_broker import Broker
from worlds import World

from aquifer.errors import PassingError
from aquifer.eventlog import EventReader
from aquifer.instants import micros
from assets import tables
from deploy import connector
from deploy.servers import KafkaConnect, Postgres
from resources import order_database
from resources.event_log.kafka import KafkaEventLog
from resources.event_log.kafka_client import KafkaClient
from resources.order_database import TOPICS, OutboxEventLog, create_tables
from resources.order_server import CHANGED_AT, SLOT, OrderServer
from resources.sqlite import connect, transaction

SECONDS = 120
"""How long anything may take that comes by itself."""

TABLES = [table for table in tables.silver if table.reads.resource == "orders"]
TABLES_OF = {f"orders.{table}": columns for table, columns in order_database.TABLES.items()}
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
        self.kafka = {"bootstrap.servers": f"127.0.0.1:{kafka.open}"}
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
        """Change the simulation's database, and the server's with it as soon as it answers."""
        self.play(*statements)
        until(self._applies, "the server has taken the changes")

    def _applies(self) -> bool:
        try:
            self.server.apply(self.outbox.path)
        except PassingError:
            return False
        return True

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

    def lose_slot(self) -> None:
        """Drop the replication slot, of which the server may not have noticed who is dead."""
        until(lambda: not self._slots("pg_terminate_backend(active_pid)"), "the slot is free")
        self._slots("pg_drop_replication_slot(slot_name) is not null")

    def _slots(self, condition: str) -> list[tuple]:
        return self.execute(f"select slot_name from pg_replication_slots where {condition}")

    def back_up(self) -> Path:
        """The folder of a backup of the whole server, from which it can be started."""
        backup, url = self.postgres.folder / uuid4().hex, self.postgres.url("postgres")
        (tool,) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"))[-1:]
        subprocess.run(
            [*self.postgres.run_as, tool, "-D", backup, "-d", url, "--checkpoint=fast"],
            cwd=self.postgres.folder,
            check=True,
            capture_output=True,
        )
        return backup

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

    def changes(self, log: EventReader) -> Counter[tuple]:
        """How often each change stands in a log, told by its topic, key, operation and time."""
        found: Counter[tuple] = Counter()
        for topic in TOPICS:
            events = log.read(topic, dict.fromkeys(log.end_offsets(topic), 0), 1_000_000)
            for value in events["value"].to_pylist():
                change = json.loads(value)
                row = change["after"] or change["before"]
                told = row.get(CHANGED_AT)
                at = micros(datetime.fromisoformat(told)) if told else change["source"]["ts_us"]
                key = row[TABLES_OF[topic][0]]
                # What a snapshot reads has once been created.
                found[topic, key, "c" if change["op"] == "r" else change["op"], at] += 1
                if change["op"] == "d" and not told:
                    # On the server a row is told when it goes before it does.
                    found[topic, key, "u", at] += 1
        return found

    def close(self) -> None:
        """Remove the connector, its position, its slot, its topics and the database."""
        at = f"{self.worker.url}/connectors/{connector.NAME}"
        if requests.put(f"{at}/stop", timeout=60).ok:
            until(lambda: self._forgets(at), "the connector has stopped")
            requests.delete(at, timeout=60).raise_for_status()
        until(self._drops, "nobody uses the database")
        topics = [name for name in self.log.topics() if name.startswith("orders.")]
        admin = AdminClient(self.kafka)
        for future in (admin.delete_topics(topics) if topics else {}).values():
            future.result()
        until(lambda: not {*topics} & {*self.log.topics()}, "the topics are gone")
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
                        f"where slot_name = '{SLOT}'"
                    )
                    cursor.execute(f"drop database if exists {self.database} with (force)")
                except psycopg2.errors.ObjectInUse:
                    return False
        return True


@contextmanager
def shop(folder: Path, kafka: Broker, postgres: Postgres, worker: KafkaConnect) -> Iterator[Shop]:
    """A shop of its own, of which nothing is left afterwards."""
    shop = Shop(folder, kafka, postgres, worker)
    try:
        yield shop
    finally:
        shop.close()


class Stream(Thread):
    """Changes that are written one after the other, until it is left."""

    def __init__(self, shop: Shop):
        super().__init__()
        self.written = 0
        self._shop = shop
        self._ended = Event()

    def run(self) -> None:
        while not self._ended.is_set():
            key = f"'{self.written:05}'"
            self._shop.write(
                f"insert into customers (customer_id, name, country) values ({key}, 'A', 'EIRE')",
                f"update customers set name = 'B' where customer_id = {key}",
                f"delete from customers where customer_id = {key} and {self.written} % 3 = 0",
            )
            self.written += 1

    def wait_for(self, more: int) -> None:
        """Wait until so many more customers have been written."""
        aim = self.written + more
        until(lambda: self.written >= aim or not self.is_alive(), "changes are written")
        assert self.is_alive()

    def __enter__(self) -> "Stream":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


class Taken(World):
    """A world into which the tables of the order database are taken from a log."""

    def take_in(self, log: Any) -> None:
        """Take in what is new, and see that it is accounted for."""
        for table in TABLES:
            table.reads.advance(self.lake, log)
        for table in TABLES:
            assert table.advance(self.runtime).accounted, table.name
