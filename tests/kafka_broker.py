"""A real Kafka broker for tests: its jars, its configuration, its process.

Belongs here: one KRaft broker on free ports of this machine. Does not: what is tested on it.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyspark
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

VERSION = "4.3.1"
JARS = Path(sys.prefix) / f"kafka-{VERSION}"
KEEPER = Path(__file__).with_name("keeper.py")
START_SECONDS = 60

USER, PASSWORD = "till", "open sesame"

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=OPEN
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,OPEN:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL
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


class Broker:
    """A broker that is formatted in a folder and started; `url` is its open listener's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keeper: subprocess.Popen | None = None
        self.open, self.sasl, self.mtls, controller = free_ports(4)
        ports = {"OPEN": self.open, "SASL": self.sasl, "MTLS": self.mtls}
        for name in ("broker", "client"):
            _certificate(folder, name)
        key, certificate = folder / "broker.key", folder / "broker.crt"
        (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
        self._properties = folder / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(
                folder=folder,
                controller=controller,
                listeners=listeners,
                user=USER,
                password=PASSWORD,
            )
        )
        cluster = _java("kafka.tools.StorageTool", "random-uuid").splitlines()[-1]
        _java(
            "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", self._config
        )

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.open}"

    @property
    def _config(self) -> str:
        return str(self._properties)

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        with (self._folder / "broker.out").open("a") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, KEEPER, *_command("kafka.Kafka", self._config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self.pid = int(self._keeper.stdout.readline())
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._keeper.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "broker.out").read_text()[-2_000:]
                raise AssertionError(f"the broker does not start:\n{said}")

    def wait(self) -> None:
        """Wait until the broker has ended."""
        self._keeper.wait()
        self._keeper.stdin.close()
        self._keeper.stdout.close()

    def stop(self) -> None:
        """Stop the broker."""
        self._keeper.stdin.close()
        self._keeper.wait()
        self._keeper.stdout.close()

    def file(self, name: str) -> Path:
        """A key or certificate."""
        return self._folder / name

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _answers(self) -> bool:
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.open}", "log_level": 0})
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False


def fetch() -> None:
    """Fetch the broker's jars, once, with the Apache Ivy that pyspark ships."""
    if JARS.exists():
        return
    for program, package in (("java", "default-jre-headless"), ("openssl", "openssl")):
        if not shutil.which(program):
            sys.exit(f"the cluster tests need {program}; on Debian: apt install {package}")
    (ivy,) = Path(pyspark.__path__[0], "jars").glob("ivy-*.jar")
    part = JARS.with_name(f"{JARS.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    wanted = ["-dependency", "org.apache.kafka", "kafka_2.13", VERSION, "-confs", "default"]
    into = ["-retrieve", f"{part}/[artifact]-[revision](-[classifier]).[ext]"]
    subprocess.run(
        ["java", "-jar", ivy, "-cache", part / "cache", *wanted, *into],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(part / "cache")
    part.rename(JARS)


def _command(*arguments: str) -> list[str]:
    return ["java", "-Xmx512m", "-cp", f"{JARS}/*", *arguments]


def _java(*arguments: str) -> str:
    ran = subprocess.run(_command(*arguments), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _certificate(folder: Path, name: str) -> None:
    """A key and a certificate that vouches for itself."""
    who = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *who, *files],
        check=True,
        capture_output=True,
    )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on.

    Below those that systems give to clients: one that looks for a server which is away could be
    given its port, and then answer itself.
    """
    free: list[int] = []
    while len(free) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            if port not in free and probe.connect_ex(("127.0.0.1", port)):
                free.append(port)
    return free
