"""The warm server: forks a process for each run from one that has everything loaded.

Belongs here: the socket, the fork server, what happens when a child ends or the code changes. Does
not: what children do (`warm_run`). The server itself loads nothing of the platform or of Dagster,
so that it is small and the fork server, a process that it starts anew, holds no thread or handle
of anybody.
"""

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aquifer import warm_run
from aquifer.code_state import sources, state
from aquifer.errors import SettingError
from aquifer.run_process import RunProcess
from aquifer.warm_client import address, differing

PATIENCE_SECONDS = 10.0
"""How long runs may take to end when the server ends, and a client to say what it wants."""

LONGEST_START_SECONDS = 60.0

POLL_SECONDS = 0.1


class WarmServer:
    """Serves a listening socket until the code changes and all its runs have ended.

    Args:
        listener: the socket.
        sources: the folders of the code.
        successor: starts the server that takes over the socket when the code has changed.
    """

    def __init__(
        self, listener: socket.socket, sources: list[Path], successor: Callable[[], object]
    ) -> None:
        self._listener = listener
        self._sources = sources
        self._successor = successor
        self._loaded = state(sources)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["aquifer.warm_preload"])
        self._loadable = False
        self._runs: dict[int, tuple[Any, dict[str, Any]]] = {}
        """The process and the request of each run, by the handle that tells of its end."""

    def serve(self) -> None:
        """Serve; returns when a successor does and the last run has ended."""
        self._loadable = self._fork(warm_run.load) is not None
        accepting = True
        while accepting or self._runs:
            awaited: list[Any] = [*([self._listener] if accepting else []), *self._runs]
            for ready in multiprocessing.connection.wait(awaited):
                if ready is not self._listener:
                    self._ended(ready)
                elif state(self._sources) == self._loaded:
                    self._answer()
                else:
                    # It finds the request that waits at the socket.
                    self._successor()
                    self._listener.close()
                    accepting = False

    def end_runs(self) -> None:
        """Interrupt the runs, and kill those that do not end."""
        processes = [RunProcess(Path(request["folder"])) for _, request in self._runs.values()]
        for process in processes:
            process.interrupt()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for process in processes:
            process.end(max(0.0, deadline - time.monotonic()))

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(OSError, ValueError):
            connection.settimeout(PATIENCE_SECONDS)
            with connection.makefile("rw", encoding="utf-8") as stream:
                asked = stream.readline()
                # Whoever only looks whether the server answers asks nothing.
                if asked:
                    stream.write(json.dumps(self._launch(json.loads(asked))) + "\n")

    def _launch(self, request: dict[str, Any]) -> dict[str, str]:
        if others := differing(request["settings"], sys.executable):
            return {"refused": f"it was started with another {', '.join(others)}"}
        arguments = (request["instance"], request["run_id"], RunProcess(Path(request["folder"])))
        process = self._loadable and self._fork(warm_run.execute, *arguments)
        if not process:
            return {"refused": "its code cannot be loaded, see the output of `aquifer up`"}
        self._runs[process.sentinel] = (process, request)
        return {}

    def _ended(self, handle: Any) -> None:
        process, request = self._runs.pop(handle)
        process.join()
        if process.exitcode:
            folder = RunProcess(Path(request["folder"]))
            arguments = (request["instance"], request["run_id"], folder, process.exitcode)
            self._fork(warm_run.close, *arguments)

    def _fork(self, work: Callable[..., None], *arguments: Any) -> Any:
        """A child that does the work, None if the fork server could not load the code."""
        process = self._context.Process(target=work, args=arguments)
        try:
            process.start()
        except (OSError, EOFError) as error:
            print(f"The warm server could not fork: {error!r}", file=sys.stderr, flush=True)
            return None
        return process


class _Asked(BaseException):
    """A signal asked the server to end."""


def main() -> None:
    """Serve a Dagster home: `warm_server HOME PROJECT [--after HOST PORT] [--listener HANDLE]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("project", type=Path)
    parser.add_argument("--after", nargs=2, metavar=("HOST", "PORT"), help="load when it answers")
    parser.add_argument("--listener", type=int, help="handle of the socket to take over")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _ask)
    try:
        listener = _listener(asked.home, asked.listener)
    except (OSError, SettingError) as error:
        sys.exit(f"aquifer: runs are not started warm: {error}")

    def successor() -> None:
        own = [sys.executable, "-m", "aquifer.warm_server", str(asked.home), str(asked.project)]
        handle = listener.fileno()
        subprocess.Popen([*own, "--listener", str(handle)], pass_fds=[handle])

    # Else what a killed run has printed last would be lost with its buffer.
    os.environ["PYTHONUNBUFFERED"] = "1"
    server = WarmServer(listener, sources(asked.project), successor)
    try:
        if asked.after:
            _wait_for(*asked.after)
        server.serve()
    except _Asked:
        listener.close()
        server.end_runs()


def _ask(number: int, _: object) -> None:
    # Once: what follows is the end.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise _Asked


def _listener(home: Path, handle: int | None) -> socket.socket:
    if handle is not None:
        return socket.socket(fileno=handle)
    name = address(home)
    with suppress(FileNotFoundError):
        os.unlink(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    os.chmod(name, 0o600)
    listener.listen()
    return listener


def _wait_for(host: str, port: str) -> None:
    """Let the UI start first: both would take all of a small machine."""
    deadline = time.monotonic() + LONGEST_START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex((host, int(port))):
                return
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
