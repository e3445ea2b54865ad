"""The connector that captures the order database: its configuration, and handing it to Connect.

`AQUIFER_ORDERS=postgresql://... python -m deploy.connector http://connect:8083` registers it, or
changes the one that is registered.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import requests

from aquifer.eventlog import PARTITIONS
from resources.order_database import SNAPSHOTS, TABLES
from resources.order_server import SLOT, OrderServer

NAME = "orders"
"""Of the connector, and what the names of its topics begin with."""


def configuration(url: str) -> dict[str, str]:
    """What Debezium is told about the order database of a URL."""
    server = urlsplit(url)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": server.hostname or "",
        "database.port": str(server.port or 5432),
        "database.user": unquote(server.username or ""),
        "database.password": unquote(server.password or ""),
        "database.dbname": server.path.removeprefix("/"),
        "plugin.name": "pgoutput",
        "slot.name": SLOT,
        "publication.name": SLOT,
        "publication.autocreate.mode": "filtered",
        "table.include.list": ",".join(f"public.{table}" for table in TABLES),
        # A slot that is lost, with the changes that it held back, is made good by a new snapshot.
        "snapshot.mode": "when_needed",
        "notification.enabled.channels": "sink",
        "notification.sink.topic.name": SNAPSHOTS,
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        # A truncation would pass unheard of.
        "skipped.operations": "none",
        # Topics are not compacted.
        "tombstones.on.delete": "false",
        "exactly.once.support": "required",
        # Only with an event does the slot move on: to what was captured last, which is waited for,
        # and past what others write to the server.
        "heartbeat.interval.ms": "1000",
        "retriable.restart.connector.wait.ms": "1000",
        "topic.prefix": NAME,
        "transforms": "topic",
        "transforms.topic.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.topic.regex": rf"{NAME}\.public\.(.+)",
        "transforms.topic.replacement": f"{NAME}.$1",
        "topic.creation.default.partitions": str(PARTITIONS),
        "topic.creation.default.replication.factor": os.environ.get("KAFKA_REPLICATION", "1"),
    }


def register(connect: str, url: str) -> None:
    """Have the worker at `connect` capture the order database from now on."""
    # Of tables that are not there it could not be told.
    OrderServer(url).create_tables()
    answer = requests.put(
        f"{connect}/connectors/{NAME}/config", json=configuration(url), timeout=60
    )
    if not answer.ok:
        sys.exit(f"Connect at {connect} refuses the connector: {answer.text}")


if __name__ == "__main__":
    register(sys.argv[1], os.environ["AQUIFER_ORDERS"])
