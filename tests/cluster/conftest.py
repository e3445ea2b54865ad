"""The real servers that the tests of this folder run on, one of each for all of them."""

from collections.abc import Iterator

import kafka_broker
import pytest


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka_broker.Broker]:
    """A running broker."""
    kafka = kafka_broker.Broker(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield kafka
    kafka.stop()
