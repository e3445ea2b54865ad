"""The real servers that the tests of this folder run on, one of each for all of them."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from uuid import uuid4

import pytest
from kafka_broker import Broker

from deploy.servers import (
    KafkaConnect,
    Postgres,
    Server,
    SparkConnect,
    SparkMaster,
    SparkWorker,
)

Kind = TypeVar("Kind", bound=Server)


SHORT_LIVED = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:-UsePerfData "
    "-Dspark.sql.codegen.wholeStage=false -Dspark.sql.codegen.factoryMode=NO_CODEGEN"
)
"""Options of a JVM that ends before it would have compiled anything for good.

Spark, too, compiles each query before it runs it, which takes longer than to run it on so few rows.
"""


def running(server: Kind) -> Iterator[Kind]:
    """Start a server, and stop it afterwards."""
    server.settings["JAVA_TOOL_OPTIONS"] = SHORT_LIVED
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def servers() -> Iterator[Path]:
    """The folder below which servers have theirs.

    No folder of pytest's, which it closes to other users whenever a session begins: PostgreSQL runs
    as one.
    """
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def kafka(servers: Path) -> Iterator[Broker]:
    yield from running(Broker(servers))


@pytest.fixture(scope="session")
def worker(servers: Path, kafka: Broker) -> Iterator[KafkaConnect]:
    """A worker of Kafka Connect."""
    yield from running(KafkaConnect(servers, f"127.0.0.1:{kafka.open}"))


@pytest.fixture(scope="session")
def postgres(servers: Path) -> Iterator[Postgres]:
    yield from running(Postgres(servers))


@pytest.fixture
def database(postgres: Postgres) -> str:
    """A new database."""
    return postgres.create(f"aquifer_{uuid4().hex}")


@pytest.fixture(scope="session")
def spark_master(servers: Path) -> Iterator[SparkMaster]:
    yield from running(SparkMaster(servers))


@pytest.fixture(scope="session")
def spark_worker(servers: Path, spark_master: SparkMaster) -> Iterator[SparkWorker]:
    yield from running(SparkWorker(servers, spark_master))


@pytest.fixture(scope="session")
def spark(
    servers: Path, spark_master: SparkMaster, spark_worker: SparkWorker
) -> Iterator[SparkConnect]:
    """The Connect server of a Spark cluster."""
    yield from running(SparkConnect(servers, spark_master))
