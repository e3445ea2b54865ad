"""The real servers on this machine: started by the commands that containers run, on free ports.

Belongs here: one class a server, its folder, ports and process. Does not: the commands (`bin`) and
what they fetch (`jars`).
"""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from json import JSONDecodeError
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import psycopg2

from deploy import jars

HERE = Path(__file__).parent
HOST = "127.0.0.1"
START_SECONDS = 90


class Server:
    """A server with a folder of its own; it ends with the process that started it.

    Args:
        folder: where it keeps its state and what it says.
        settings: environment variables of its command.
    """

    name: str
    sets: tuple[str, ...] = ()
    run_as: tuple[str, ...] = ()

    def __init__(self, folder: Path, **settings: str | int) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.settings = settings
        self._keeper: subprocess.Popen[str] | None = None

    def answers(self) -> bool:
        """Whether it serves."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        for name in self.sets:
            jars.fetch(name)
        with self._output.open("a") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, HERE / "keeper.py", *self.run_as, HERE / "bin" / self.name],
                env=_environment(self.settings),
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self.pid = int(self._keeper.stdout.readline())
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._keeper.poll() is not None or time.monotonic() > deadline:
                said = self._output.read_text()[-2_000:]
                raise AssertionError(f"{self.name} does not start:\n{said}")
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> None:
        """Wait until it has ended."""
        self._keeper.wait()
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper = None

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self._keeper is not None:
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper.stdout.close()
            self._keeper = None

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"


class SparkMaster(Server):
    """The master of a Spark cluster."""

    name = "spark-master"

    def __init__(self, folder: Path) -> None:
        self.port, self.web = free_ports(2)
        super().__init__(folder, SPARK_MASTER_PORT=self.port, SPARK_MASTER_WEBUI_PORT=self.web)

    @property
    def url(self) -> str:
        return f"spark://{HOST}:{self.port}"

    def answers(self) -> bool:
        return bool(self.state())

    def state(self) -> dict:
        """What the master tells of its workers and applications; empty before it answers."""
        try:
            with urlopen(f"http://{HOST}:{self.web}/json/", timeout=2) as answer:
                return json.load(answer)
        # While it starts, it may answer with nothing.
        except (URLError, ConnectionError, TimeoutError, JSONDecodeError):
            return {}


class SparkWorker(Server):
    """A worker of a Spark cluster."""

    name = "spark-worker"

    def __init__(self, folder: Path, master: SparkMaster) -> None:
        self._master = master
        (self.web,) = free_ports(1)
        super().__init__(folder, SPARK_MASTER=master.url, SPARK_WORKER_WEBUI_PORT=self.web)
        self.settings["SPARK_WORKER_DIR"] = str(self.folder / "work")

    def answers(self) -> bool:
        workers = self._master.state().get("workers", [])
        return any(
            worker["webuiaddress"].endswith(f":{self.web}") and worker["state"] == "ALIVE"
            for worker in workers
        )


class SparkConnect(Server):
    """The Spark Connect server of a cluster."""

    name = "spark-connect"
    sets = ("delta",)

    def __init__(self, folder: Path, master: SparkMaster) -> None:
        (self.port,) = free_ports(1)
        super().__init__(folder, SPARK_MASTER=master.url, SPARK_CONNECT_PORT=self.port)

    @property
    def url(self) -> str:
        return f"sc://{HOST}:{self.port}"

    def answers(self) -> bool:
        return listening(self.port)


class Postgres(Server):
    """PostgreSQL; `url(database)` names a database of it, which `create` makes."""

    name = "postgres"
    user, password = "aquifer", "open sesame"

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        super().__init__(folder, PGPORT=self.port, PGDATA=folder / self.name / "data")
        self.settings |= {"POSTGRES_USER": self.user, "POSTGRES_PASSWORD": self.password}
        if os.geteuid() == 0:
            # It refuses to run as root. Its folder has to be its own, those above open to it.
            self.run_as = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
            shutil.chown(self.folder, "postgres", "postgres")

    def start(self) -> None:
        if self.run_as:
            # At each start: those above may be a temporary folder that others tidy up.
            for above in self.folder.parents:
                if not above.stat().st_mode & 0o001:
                    above.chmod(above.stat().st_mode | 0o001)
        super().start()

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{quote(self.password)}@{HOST}:{self.port}/{database}"

    def create(self, database: str) -> str:
        """The URL of a new database."""
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"create database {database}")
        return self.url(database)

    def answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True


class Redis(Server):
    """Redis, which keeps features for a look in no time."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        super().__init__(folder, AQUIFER_HOST=HOST, REDIS_PORT=self.port)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def answers(self) -> bool:
        return listening(self.port)


class KafkaConnect(Server):
    """A worker of Kafka Connect that has Debezium; `url` is that of its REST interface.

    Args:
        brokers: of the Kafka cluster, as `host:port`.
    """

    name = "kafka-connect"
    sets = ("connect", "debezium")

    def __init__(self, folder: Path, brokers: str) -> None:
        (self.port,) = free_ports(1)
        super().__init__(folder, CONNECT_PORT=self.port, KAFKA_BROKERS=brokers)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def answers(self) -> bool:
        # It answers before it has joined its group, but not to this.
        try:
            with urlopen(f"{self.url}/connectors", timeout=2):
                return True
        except (URLError, ConnectionError, TimeoutError):
            return False


def listening(port: int, host: str = HOST) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return not probe.connect_ex((host, port))


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on.

    Below those that systems give to clients: one that looks for a server which is away could be
    given its port, and then answer itself.
    """
    free: list[int] = []
    while len(free) < count:
        port = random.randrange(15_000, 32_000)
        if port not in free and not listening(port):
            free.append(port)
    return free


def _environment(settings: Mapping[str, str | int]) -> dict[str, str]:
    """The environment of a server: a client of Spark Connect leaves traces in its own."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("SPARK_", "PYSPARK_"))}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AQUIFER_HOST": HOST,
        "AQUIFER_JARS": str(jars.FOLDER),
        **{name: str(value) for name, value in settings.items()},
    }
