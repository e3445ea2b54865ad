"""Real-time inference: latency at a set rate on one core, overload, swaps under load; and batches.

Takes a home with a champion (`--home`; the predictions that it answers go to its event log), or
makes one: the main job on the files, then a training, which takes months of invoices.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from common import PROJECT, demo, empty_home, invoice_files, show

from aquifer.models.registry import CHAMPION, Registry
from resources.environment import resources

MODEL = "repeat_purchase"
VIEW = "features.customer_behaviour"
RATE = 500
SECONDS = 30
OVERLOAD_RATE = 3_000
OVERLOAD_SECONDS = 8
CONNECTIONS = 64
OVERLOAD_CONNECTIONS = 512
SERVER_CORE, GENERATOR_CORE = 0, 1
START_SECONDS = 120
BATCH_ROWS = 1_000
BATCH_SECONDS = 5
SCORED_ROWS = 200_000


def entities(home: Path) -> list[dict[str, str]]:
    """The entities of the online store."""
    with closing(sqlite3.connect(home / "online.db")) as store:
        rows = store.execute("select entity from features where view = ?", [VIEW]).fetchall()
    return [{"customer_id": json.loads(entity)[0]} for (entity,) in rows]


@contextmanager
def service(home: Path, port: int) -> Iterator[int]:
    """The model service on one core; its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aquifer.cli", "model", "serve", "--port", str(port)],
        cwd=PROJECT,
        env={**os.environ, "AQUIFER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the model service does not start")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def load(
    port: int, server: int, asked: list[dict[str, str]], rate: int, seconds: int, connections: int
) -> dict[str, Any]:
    """What the generator has found."""
    options = {
        "port": port,
        "path": f"/models/{MODEL}/predict",
        "rate": rate,
        "seconds": seconds,
        "connections": connections,
        "core": GENERATOR_CORE,
        "server": server,
    }
    command = [sys.executable, str(Path(__file__).with_name("open_loop.py"))]
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    found = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
    if found.returncode:
        sys.exit(found.stderr)
    return json.loads(found.stdout)


def another_version(registry: Registry) -> tuple[str, str]:
    """The champion's version, and another of the same graph."""
    version = registry.version(MODEL, CHAMPION)
    held = registry.client.get_model_version(MODEL, version)
    return version, registry.register(MODEL, held.model_id, held.run_id, "for a benchmark")


@contextmanager
def swapping(registry: Registry, versions: tuple[str, str]) -> Iterator[list[str]]:
    """Move the champion's alias each second; at the end, back to the first version."""
    ended, moved = threading.Event(), []

    def move() -> None:
        while not ended.wait(1):
            moved.append(versions[(len(moved) + 1) % 2])
            registry.alias(MODEL, CHAMPION, moved[-1])

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield moved
    finally:
        ended.set()
        mover.join()
        registry.alias(MODEL, CHAMPION, versions[0])


def batches(port: int, asked: list[dict[str, str]]) -> float:
    """Rows a second that the service answers in full batches, one after the other."""
    body = json.dumps([{"entity": asked[n % len(asked)]} for n in range(BATCH_ROWS)]).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/models/{MODEL}/predict",
        body,
        {"Content-Type": "application/json"},
    )
    rows, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + BATCH_SECONDS:
        with urllib.request.urlopen(request) as answer:
            rows += len(json.load(answer))
    return rows / (time.perf_counter() - begun)


def scored(registry: Registry) -> float:
    """Rows a second that the scorer takes in one call, on one core."""
    scorer = registry.champion(MODEL)
    matrix = np.random.default_rng(1).normal(50, 30, (SCORED_ROWS, len(scorer.inputs)))
    seen = matrix.astype(np.float32)
    scorer.predict(seen[:1_000])
    begun = time.perf_counter()
    scorer.predict(seen)
    return SCORED_ROWS / (time.perf_counter() - begun)


def line(name: str, found: dict[str, Any], status: str, note: str = "") -> list[object]:
    """A line of the table, of the answers with one status."""
    figures = found["by_status"].get(status, {"count": 0, "p50": "", "p99": "", "max": ""})
    return [
        name,
        f"{found['asked'] / found['seconds']:,.0f}",
        status,
        f"{figures['count']:,}",
        figures["p50"],
        figures["p99"],
        figures["max"],
        found["lost"],
        found["server_waited"],
        found["generator_waited"],
        note,
    ]


def measure(home: Path, port: int) -> None:
    """Measure on a home that has a champion."""
    registry = resources({**os.environ, "AQUIFER_HOME": str(home)})["registry"].registry
    version = registry.version(MODEL, CHAMPION)
    if version is None:
        sys.exit(f"{MODEL} has no champion in {home}; `aquifer model train {MODEL}` first")
    asked = entities(home)
    with service(home, port) as server:
        load(port, server, asked, RATE, 3, CONNECTIONS)
        steady = load(port, server, asked, RATE, SECONDS, CONNECTIONS)
        with swapping(registry, another_version(registry)) as moved:
            swapped = load(port, server, asked, RATE, SECONDS, CONNECTIONS)
        over = load(port, server, asked, OVERLOAD_RATE, OVERLOAD_SECONDS, OVERLOAD_CONNECTIONS)
        over_http = batches(port, asked)
    size = (registry.bundle(MODEL, version) / "model.onnx").stat().st_size
    show(
        f"Inference: {MODEL} {version} ({size / 1e3:,.0f} kB, {len(asked):,} entities), open "
        "loop, service and generator on a core each; ms from when a request was due",
        [
            "run",
            "asked/s",
            "status",
            "answers",
            "p50",
            "p99",
            "max",
            "lost",
            "service waited s",
            "generator waited s",
            "note",
        ],
        [
            line("steady", steady, "200"),
            line("swaps", swapped, "200", f"{len(moved)} swaps"),
            line("overload", over, "200"),
            line("overload", over, "503", f"/readyz then {over['ready_after']}"),
        ],
    )
    os.sched_setaffinity(0, {SERVER_CORE})
    show(
        "Batch scoring on one core",
        ["way", "rows/s"],
        [
            [f"HTTP, {BATCH_ROWS:,} entities a request", f"{over_http:,.0f}"],
            [f"the scorer, {SCORED_ROWS:,} rows of a matrix", f"{scored(registry):,.0f}"],
        ],
    )


def main() -> None:
    """Measure, on a home that is given or made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, help="with a champion; by default, one is made")
    parser.add_argument("--port", type=int, default=8765)
    asked = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("service and generator take a core each")
    with nullcontext(asked.home) if asked.home else empty_home() as home:
        if not asked.home:
            demo(home, invoice_files())
            train = [sys.executable, "-m", "aquifer.cli", "model", "train", MODEL]
            environment = {**os.environ, "AQUIFER_HOME": str(home)}
            subprocess.run(train, cwd=PROJECT, env=environment, check=True)
        measure(home.resolve(), asked.port)


if __name__ == "__main__":
    main()
