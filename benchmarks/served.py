"""A platform that is served while a benchmark measures it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from common import PROJECT

from aquifer.dagster_event_log import BATCH_SIZE
from aquifer.dagster_home import dagster_home

DEADLINE_SECONDS = 180
SAMPLE_SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")
NAMES = {
    "dagster dev": "dagster dev",
    "dagster_webserver": "UI",
    "dagster._daemon": "daemon",
    "code-server start": "code server's watcher",
    "api grpc": "code server",
    "aquifer.warm_server": "warm server",
    "forkserver": "fork server and runs",
    "aquifer.cli": "aquifer up",
}
NICE = 16
USED = slice(11, 13)
"""Where `/proc/*/stat` has the niceness of a process and its ticks, after the name."""

SETTLED_SECONDS = 20
"""How long no run may have begun or gone on."""

RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Served:
    """A platform with its UI.

    Args:
        port: that of the UI.
        session: the session of all its processes.
    """

    def __init__(self, home: Path, port: int, session: int) -> None:
        self.home = home
        self.port = port
        self.session = session

    def ask(self, question: str, **variables: Any) -> dict[str, Any]:
        """The UI's answer to a GraphQL question."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            json.dumps({"query": question, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            return json.load(answer)["data"]

    def runs(self) -> dict[str, str]:
        """The status of each run; nothing while the UI is not there."""
        with suppress(OSError):
            results = self.ask(RUNS)["runsOrError"]["results"]
            return {run["runId"]: run["status"] for run in results}
        return {}

    def settle(self) -> None:
        """Wait until what its start has set off is done."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        before, since = self.runs(), time.monotonic()
        while not before or time.monotonic() - since < SETTLED_SECONDS:
            if time.monotonic() > deadline:
                sys.exit(f"the platform does not settle: {before}")
            time.sleep(1)
            if (now := self.runs()) != before or not ENDED.issuperset(now.values()):
                before, since = now, time.monotonic()

    def processes(self) -> dict[int, list[str]]:
        """Of each process its fields of `/proc/*/stat` after the name."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.session:
                    found[int(process.name)] = fields
        return found

    def processor(self, work: Callable[..., Any], *arguments: Any) -> Counter[str]:
        """Percent of one core, by kind of process, while some work is done."""
        spent: Counter[str] = Counter()
        begun, before = time.monotonic(), self.processes()
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work, *arguments)
            while not working.done():
                wait([working], timeout=SAMPLE_SECONDS)
                now = self.processes()
                for process, fields in now.items():
                    # Without its children's: they are counted while they live.
                    earlier = before[process][USED] if process in before else ()
                    used = sum(map(int, fields[USED])) - sum(map(int, earlier))
                    spent[name_of(process, int(fields[NICE]))] += used
                before = now
            working.result()
        share = 100 / TICKS / (time.monotonic() - begun)
        return Counter({name: ticks * share for name, ticks in spent.items()})


def name_of(process: int, niceness: int) -> str:
    """What a process is."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "others"
    name = next((name for part, name in NAMES.items() if part in command), "others")
    return f"{name}, of low priority" if niceness else name


@contextmanager
def serve(home: Path, *, warm: bool = True) -> Iterator[Served]:
    """`aquifer up` on a home; or, not warm, Dagster alone with its default run launcher."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "AQUIFER_HOME": str(home)}
    command = [sys.executable, "-m", "aquifer.cli", "up", "--port", str(port)]
    if not warm:
        found = dagster_home(home, PROJECT / "dagster.yaml")
        instance = Path(found["DAGSTER_HOME"], "dagster.yaml")
        settings = yaml.safe_load(instance.read_text())
        del settings["run_launcher"]
        instance.write_text(yaml.safe_dump(settings))
        environment |= {**found, **BATCH_SIZE}
        dagster = str(Path(sys.executable).parent / "dagster")
        command = [dagster, "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A script's background job ignores SIGINT, and Dagster then SIGTERM, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    served = Served(home, port, process.pid)
    try:
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        for left in served.processes():
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
