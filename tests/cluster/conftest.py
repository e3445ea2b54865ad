"""The real servers that the tests of this folder run on, one of each for all of them."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import kafka_broker
import pytest

from deploy.servers import KafkaConnect, Postgres


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka_broker.Broker]:
    """A running broker."""
    kafka = kafka_broker.Broker(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL."""
    # It runs as another user, to whom pytest closes its folders whenever a session begins.
    with TemporaryDirectory() as folder:
        postgres = Postgres(Path(folder))
        postgres.start()
        yield postgres
        postgres.stop()


@pytest.fixture(scope="session")
def worker(
    kafka: kafka_broker.Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaConnect]:
    """A running worker of Kafka Connect."""
    worker = KafkaConnect(tmp_path_factory.mktemp("connect"), f"127.0.0.1:{kafka.open}")
    worker.start()
    yield worker
    worker.stop()
