"""Kafka as the event log, on a real broker: what every log does, and what only servers suffer."""

import signal
import time
from collections import Counter
from contextlib import closing
from threading import Timer
from uuid import uuid4

import kafka_broker
import pytest
from confluent_kafka import Producer
from log_suite import EventLogSuite, Place, batch, follow, numbered, zeros
from logs import events

from aquifer.eventlog import lag
from aquifer.lake import Lake
from aquifer.lease import FileLeases
from assets.bronze.regions import regions
from deploy.servers import free_ports
from resources.event_log.kafka import KafkaEventLog
from resources.event_log.kafka_client import KafkaClient, KafkaFailure

AWAY_SECONDS = 30


@pytest.fixture
def place(kafka, tmp_path) -> Place:
    return Place(kafka.url, tmp_path)


@pytest.fixture
def topic() -> str:
    return f"test.{uuid4().hex}"


@pytest.fixture
def log(place, topic):
    with place.open() as log:
        log.create_topic(topic)
        yield log


class TestKafka(EventLogSuite):
    @pytest.fixture
    def place(self, place) -> Place:
        return place


def test_events_are_placed_as_other_clients_place_them(kafka, log, topic):
    pairs = [(f"till {n}", f"event {n}") for n in range(500)]
    log.produce(topic, batch(*pairs))
    other = Producer(
        {"bootstrap.servers": f"127.0.0.1:{kafka.open}", "partitioner": "murmur2_random"}
    )
    for key, value in pairs:
        other.produce(topic, value, key)
    other.flush()
    placed = Counter((e.partition, e.key, e.value) for e in follow(log, topic, zeros(), 10_000))
    assert len(placed) == 500
    assert set(placed.values()) == {2}


def test_bronze_reads_kafka_as_any_other_log(place, tmp_path):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    with place.open() as log:
        log.create_topic(regions.topic)
        log.produce(regions.topic, numbered(1_000))
        assert lag(log, regions.name, regions.topic) == 1_000
        assert regions.advance(lake, log).kept == 1_000
        assert lag(log, regions.name, regions.topic) == 0
        assert regions.advance(lake, log).rows_in == 0
        log.produce(regions.topic, numbered(10))
        assert regions.advance(lake, log).kept == 10
        marks = lake.marks(regions.name, [regions.mark(n) for n in range(10)])
        assert {regions.mark(n): end for n, end in log.end_offsets(regions.topic).items()} == marks


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_broker_that_is_away_for_30_seconds_is_waited_for(kafka, place, log, topic, how):
    producer = place.producing(topic, "a", size=100, batches=300)
    position = zeros()
    seen = []
    while len(seen) < 1_000:
        seen += follow(log, topic, position, 1_000)
    if how == "stopped":
        kafka.signal(signal.SIGSTOP)
        back = Timer(AWAY_SECONDS, kafka.signal, [signal.SIGCONT])
    else:
        kafka.signal(signal.SIGKILL)
        kafka.wait()
        back = Timer(AWAY_SECONDS, kafka.start)
    back.start()
    started = time.monotonic()
    ended = False
    while not ended:
        assert time.monotonic() < started + 5 * AWAY_SECONDS
        ended = producer.poll() is not None
        seen += follow(log, topic, position, 1_000)
    back.join()
    producer.stdout.close()
    assert producer.returncode == 0
    assert time.monotonic() > started + AWAY_SECONDS
    expected = {f"a/{part}/{n}" for part in range(300) for n in range(100)}
    assert Counter(event.value for event in seen) == dict.fromkeys(expected, 1)
    log.commit("g", topic, position)
    assert lag(log, "g", topic) == 0


def test_a_user_with_a_password_over_tls(kafka, topic, monkeypatch, tmp_path):
    place = Place(f"kafka://127.0.0.1:{kafka.sasl}", tmp_path)
    monkeypatch.setenv("AQUIFER_KAFKA_USER", kafka_broker.USER)
    monkeypatch.setenv("AQUIFER_KAFKA_PASSWORD", kafka_broker.PASSWORD)
    monkeypatch.setenv("AQUIFER_KAFKA_CA", str(kafka.file("broker.crt")))
    with place.open() as log:
        log.create_topic(topic)
        log.produce(topic, numbered(10))
        assert len(events(log, topic)) == 10
    monkeypatch.setenv("AQUIFER_KAFKA_PASSWORD", "not the password")
    started = time.monotonic()
    with place.open() as log, pytest.raises(KafkaFailure, match="refuses this client") as refused:
        log.topics()
    assert time.monotonic() < started + 10
    assert "not the password" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_client_with_a_certificate(kafka, topic, monkeypatch, tmp_path):
    place = Place(f"kafka://127.0.0.1:{kafka.mtls}", tmp_path)
    monkeypatch.setenv("AQUIFER_KAFKA_CA", str(kafka.file("broker.crt")))
    monkeypatch.setenv("AQUIFER_KAFKA_CERT", str(kafka.file("client.crt")))
    monkeypatch.setenv("AQUIFER_KAFKA_KEY", str(kafka.file("client.key")))
    with place.open() as log:
        log.create_topic(topic)
        log.produce(topic, numbered(10))
        assert len(events(log, topic)) == 10


def test_a_broker_that_nobody_started_is_one_line_within_20_seconds(kafka):
    (port,) = free_ports(1)
    started = time.monotonic()
    with (
        closing(KafkaEventLog(KafkaClient(f"kafka://127.0.0.1:{port}"))) as log,
        pytest.raises(KafkaFailure, match=rf"127\.0\.0\.1:{port} does not answer.*refused") as said,
    ):
        log.end_offsets("pos.events")
    assert "\n" not in str(said.value)
    assert time.monotonic() < started + 20
