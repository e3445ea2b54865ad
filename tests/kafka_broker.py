"""A real Kafka broker for tests: its jars, its configuration, its process.

Belongs here: one KRaft broker on free ports of this machine. Does not: what is tested on it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from network import Network

from deploy.servers import Server, free_ports

USER, PASSWORD = "till", "open sesame"

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=OPEN
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,OPEN:PLAINTEXT,FAR:PLAINTEXT,SASL:SASL_SSL,\
MTLS:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_{user}="{password}";
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location={folder}/client.crt
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=100
"""


class Broker(Server):
    """A broker; `url` is its open listener's, `far` that of one behind a network."""

    name = "kafka"
    sets = ("kafka",)

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            sys.exit("the cluster tests need openssl; on Debian: apt install openssl")
        self.open, self.sasl, self.mtls, self._near, controller = free_ports(5)
        ports = {"OPEN": self.open, "SASL": self.sasl, "MTLS": self.mtls}
        self.network = Network(self._near)
        super().__init__(folder)
        self.settings["KAFKA_PROPERTIES"] = str(self.file("server.properties"))
        for name in ("broker", "client"):
            _certificate(self.folder, name)
        key, certificate = self.file("broker.key"), self.file("broker.crt")
        self.file("broker.pem").write_text(key.read_text() + certificate.read_text())
        self.file("server.properties").write_text(
            PROPERTIES.format(
                folder=self.folder,
                controller=controller,
                listeners=_listeners(ports | {"FAR": self._near}),
                advertised=_listeners(ports | {"FAR": self.network.port}),
                user=USER,
                password=PASSWORD,
            )
        )

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.open}"

    @property
    def far(self) -> str:
        return f"kafka://127.0.0.1:{self.network.port}"

    def file(self, name: str) -> Path:
        """A key, a certificate or the configuration."""
        return self.folder / name

    def answers(self) -> bool:
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.open}", "log_level": 0})
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False


def _listeners(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _certificate(folder: Path, name: str) -> None:
    """A key and a certificate that vouches for itself."""
    who = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *who, *files],
        check=True,
        capture_output=True,
    )
