"""A real MLflow server for tests, which can be killed at a request."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from network import Network
from ups import PATIENCE_SECONDS, free_port, until


class MlflowServer:
    """MLflow's server, reached at `uri` through a network.

    Args:
        folder: where it keeps its database and artifacts.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._port = free_port()
        self._doom: bytes | None = None
        self._died = threading.Event()
        self._network = Network(self._port, self._look)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._network.port}"

    @property
    def database(self) -> str:
        """The URI of its database, which can be looked at while it is down."""
        return f"sqlite:///{self._folder}/mlflow.db"

    def start(self) -> None:
        """Start it and wait until it answers."""
        # With it, MLflow would test itself.
        inherited = {n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"}
        options = {
            "backend-store-uri": self.database,
            "artifacts-destination": str(self._folder / "artifacts"),
            "host": "127.0.0.1",
            "port": str(self._port),
            "workers": "1",
        }
        with (self._folder / "said").open("a") as said:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                env={**inherited, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=said,
                stderr=subprocess.STDOUT,
                # It starts another process, which is killed with it.
                start_new_session=True,
            )
        until(lambda: self._answers() or self._process.poll() is not None)
        assert self._process.poll() is None, (self._folder / "said").read_text()[-2_000:]

    def start_again(self) -> None:
        """Wait until it was killed at a request, and start it."""
        assert self._died.wait(PATIENCE_SECONDS)
        self.start()

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def die_at(self, request: str) -> None:
        """Let it be killed when a request comes that begins so, before it is answered."""
        self._died.clear()
        self._doom = request.encode()

    def _look(self, chunk: bytes) -> None:
        if self._doom and chunk.startswith(self._doom):
            self._doom = None
            self.kill()
            self._died.set()

    def _answers(self) -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self._port}/health", timeout=2):
            return True
        return False
