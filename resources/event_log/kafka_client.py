"""How Kafka is reached: addresses, credentials, patience, and its errors in one line.

Belongs here: what every client of a broker needs. Does not: what is asked of it (`kafka`).
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from aquifer.errors import AquiferError, PassingError, SettingError

Answer = TypeVar("Answer")

SCHEME = "kafka://"

CONTACT = timedelta(seconds=15)
"""How long a broker may take to answer at first: a wrong address is to be told soon."""

PATIENCE = timedelta(minutes=2)
"""How long a broker that has answered before may be away."""

SETTINGS = {
    "AQUIFER_KAFKA_SECURITY": "security.protocol",
    "AQUIFER_KAFKA_MECHANISM": "sasl.mechanism",
    "AQUIFER_KAFKA_USER": "sasl.username",
    "AQUIFER_KAFKA_PASSWORD": "sasl.password",
    "AQUIFER_KAFKA_CA": "ssl.ca.location",
    "AQUIFER_KAFKA_CERT": "ssl.certificate.location",
    "AQUIFER_KAFKA_KEY": "ssl.key.location",
    "AQUIFER_KAFKA_KEY_PASSWORD": "ssl.key.password",
}
"""Read when a client is made, and stored nowhere: they would be seen where resources are shown."""

AWAY = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._SSL,
    # No leader is known of a partition.
    KafkaError._NOENT,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
}
"""Errors that pass when a broker comes back."""

REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


class KafkaFailure(AquiferError):
    """A cluster does not answer, does not let this client in, or does not take an event."""


class KafkaAway(KafkaFailure, PassingError):
    """A cluster does not answer."""


class KafkaClient:
    """The connection to a cluster for its administration, and the configuration of any other."""

    def __init__(self, url: str, settings: Mapping[str, str] = os.environ) -> None:
        self.servers = url.removeprefix(SCHEME)
        if not self.servers or "@" in self.servers or "/" in self.servers:
            raise SettingError(
                "AQUIFER_EVENT_LOG names no brokers; write kafka://host:port[,host:port] and give "
                "user and password as AQUIFER_KAFKA_USER and AQUIFER_KAFKA_PASSWORD"
            )
        self._security = security(settings)
        self._last: KafkaError | None = None
        self._contacted = False
        self.admin: AdminClient = self.make(AdminClient)

    def make(self, client: Callable[[dict[str, Any]], Answer], **config: Any) -> Answer:
        """A client of the cluster; keyword arguments are its configuration, `_` for `.`."""
        dotted = {name.replace("_", "."): value for name, value in config.items()}
        try:
            return client(
                {
                    "bootstrap.servers": self.servers,
                    "client.id": "aquifer",
                    "error_cb": self._note,
                    # What it would log is told when it matters, in one line.
                    "log_level": 0,
                    "reconnect.backoff.max.ms": 2_000,
                    "socket.keepalive.enable": True,
                    **self._security,
                    **dotted,
                }
            )
        except KafkaException as error:
            said = str(error.args[0].str()).splitlines()[0]
            raise SettingError(
                f"cannot use the AQUIFER_KAFKA_ settings for {self.servers}: {said}"
            ) from error

    def ask(self, question: Callable[[], Answer], patience: timedelta | None = None) -> Answer:
        """The answer of the cluster, waiting for a broker that is away.

        Args:
            patience: how long at most; None: as long as for anything.

        Raises:
            KafkaFailure: it has not come back in time, or refuses this client.
            KafkaException: any other error.
        """
        deadline = self.deadline()
        if patience is not None:
            deadline = min(deadline, time.monotonic() + patience.total_seconds())
        while True:
            try:
                answer = question()
            except KafkaException as error:
                self.admin.poll(0)
                self.wait(error.args[0], deadline)
            else:
                self._contacted, self._last = True, None
                return answer

    def deadline(self) -> float:
        """Until when, on the monotonic clock, a broker is waited for that does not answer now."""
        return time.monotonic() + (PATIENCE if self._contacted else CONTACT).total_seconds()

    def wait(self, error: KafkaError, deadline: float) -> None:
        """Wait a little for an error to pass, if it can.

        Raises:
            KafkaFailure: it can not, or has not until the deadline.
            KafkaException: it is about something else than reaching the cluster.
        """
        refusal = next((e for e in (error, self._last) if e and e.code() in REFUSED), None)
        if refusal:
            raise KafkaFailure(
                f"Kafka at {self.servers} refuses this client: {line(refusal)}; correct the "
                "AQUIFER_KAFKA_ settings"
            )
        if error.code() not in AWAY:
            raise KafkaException(error)
        if time.monotonic() > deadline:
            raise self.does_not_answer(error)
        time.sleep(0.2)
        # Other brokers may lead the partitions now; the client does not look by itself.
        with suppress(KafkaException):
            self.admin.list_topics(timeout=1)

    def does_not_answer(self, error: KafkaError | None = None) -> KafkaAway:
        """What to say of a cluster that has been waited for long enough."""
        said = self._last or error
        return KafkaAway(
            f"Kafka at {self.servers} does not answer{f': {line(said)}' if said else ''}; start "
            "it, or correct AQUIFER_EVENT_LOG"
        )

    def _note(self, error: KafkaError) -> None:
        self._last = error


def security(settings: Mapping[str, str]) -> dict[str, str]:
    """The part of a client's configuration that is about encryption and who it is."""
    given = {name: settings[key] for key, name in SETTINGS.items() if settings.get(key)}
    for key, name in SETTINGS.items():
        if name.endswith(".location") and name in given and not Path(given[name]).is_file():
            raise SettingError(f"{key} names {given[name]}, which is no file; name a PEM file")
    if "sasl.username" in given:
        return {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", **given}
    if given:
        return {"security.protocol": "SSL", **given}
    return {}


def line(error: KafkaError) -> str:
    """What an error says, in one line."""
    return " ".join(str(error.str()).split())
