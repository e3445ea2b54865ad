"""An open-loop generator of requests to the model service, as a process of its own.

Requests are due at random instants of a set rate, whatever the answers do; a latency counts from
when a request was due. Prints its figures as JSON.
"""

import argparse
import gc
import http.client
import json
import os
import random
import select
import socket
import sys
import time
from collections import Counter, deque

PATIENCE_SECONDS = 10.0
"""After the last request, for its answer."""

SHORTEST_SLEEP = 0.0003
"""Waits are awake that are shorter: a sleep is about that late."""


def due_times(rate: float, seconds: float) -> list[float]:
    """When requests are due: a Poisson process."""
    chance, at, due = random.Random(1), 0.0, []
    while (at := at + chance.expovariate(rate)) < seconds:
        due.append(at)
    return due


def posts(path: str, entities: list[dict[str, str]]) -> list[bytes]:
    """A request for each entity."""
    made = []
    for entity in entities:
        body = json.dumps({"entity": entity}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        made.append(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


class Generator:
    """Sends requests over connections that stay open.

    Args:
        connections: how many requests can be under way.
    """

    def __init__(self, port: int, requests: list[bytes], connections: int) -> None:
        self._address = ("127.0.0.1", port)
        self._requests = requests
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._parts: dict[int, bytes] = {}
        self._free: deque[int] = deque()
        for _ in range(connections):
            self._connect()
        self.latencies: list[tuple[int, float]] = []
        self.late: list[float] = []
        self.lost = 0

    def _connect(self) -> None:
        made = socket.create_connection(self._address)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[made.fileno()] = made
        self._parts[made.fileno()] = b""
        self._poll.register(made, select.EPOLLIN)
        self._free.append(made.fileno())

    def _drop(self, number: int) -> None:
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        del self._parts[number]

    def run(self, due: list[float]) -> None:
        """Send a request at each instant, and take the answers."""
        waiting: deque[int] = deque()
        under_way: dict[int, int] = {}
        sent = 0
        begun = time.perf_counter()
        while True:
            now = time.perf_counter() - begun
            while sent < len(due) and due[sent] <= now:
                waiting.append(sent)
                sent += 1
            while waiting and self._free:
                which, number = waiting.popleft(), self._free.popleft()
                self.late.append(now - due[which])
                self._sockets[number].send(self._requests[which % len(self._requests)])
                under_way[number] = which
            if sent == len(due) and (
                not (under_way or waiting) or now > due[-1] + PATIENCE_SECONDS
            ):
                self.lost += len(under_way) + len(waiting)
                return
            pause = due[sent] - now if sent < len(due) else 0.01
            if pause > SHORTEST_SLEEP:
                # By the microsecond, where `epoll` sleeps by the millisecond.
                select.select([self._poll], [], [], pause - SHORTEST_SLEEP / 2)
            for number, _ in self._poll.poll(0, 256):
                self._take(number, begun, due, under_way)

    def _take(self, number: int, begun: float, due: list[float], under_way: dict[int, int]) -> None:
        try:
            data = self._sockets[number].recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(number)
            self.lost += under_way.pop(number, None) is not None
            self._connect()
            return
        self._parts[number] += data
        head, _, body = self._parts[number].partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0]
        if not length or len(body) < int(length):
            return
        self._parts[number] = b""
        now = time.perf_counter() - begun
        self.latencies.append((int(head[9:12]), now - due[under_way.pop(number)]))
        self._free.append(number)


def percentile(values: list[float], share: float) -> float | None:
    """In milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 2)


def run_queue_seconds(process: int) -> float:
    """How long the threads of a process have waited for a processor."""
    waited = 0
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/schedstat") as figures:
            waited += int(figures.read().split()[1])
    return waited / 1e9


def figures(of: list[float]) -> dict[str, float | int | None]:
    """What is told of latencies."""
    told = {name: percentile(of, share) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"count": len(of), **told, "max": percentile(of, 1.0)}


def main() -> None:
    """Read entities from the input, send, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--server", type=int, required=True, help="process")
    asked = parser.parse_args()
    os.sched_setaffinity(0, {asked.core})
    requests = posts(asked.path, json.load(sys.stdin))
    generator = Generator(asked.port, requests, asked.connections)
    due = due_times(asked.rate, asked.seconds)
    before = run_queue_seconds(asked.server), run_queue_seconds(os.getpid())
    gc.disable()
    begun = time.perf_counter()
    generator.run(due)
    seconds = time.perf_counter() - begun
    statuses = Counter(status for status, _ in generator.latencies)
    by_status = {
        status: figures([took for each, took in generator.latencies if each == status])
        for status in sorted(statuses)
    }
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", "/readyz")
    told = {
        "asked": len(due),
        "lost": generator.lost,
        "seconds": seconds,
        "by_status": by_status,
        "late_p99": percentile(generator.late, 0.99),
        "server_waited": round(run_queue_seconds(asked.server) - before[0], 2),
        "generator_waited": round(run_queue_seconds(os.getpid()) - before[1], 2),
        "ready_after": connection.getresponse().status,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
