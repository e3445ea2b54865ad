"""The simulated rates service: `python -m resources.simulation.rates_server` on a free port.

It behaves like one on the internet: pages, a rate limit with `Retry-After`, and now and then a
failure. It prints its port, and ends when its standard input does, so that it never outlives the
process that started it.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FIRST_DAY = date(2010, 1, 1)
LAST_DAY = date(2013, 12, 31)
PAGE_SIZE = 200
BURST = 20
"""Requests a second before the answer is 429."""
FAILS_EVERY = 7
CENTRES = {"EUR": 1.16, "USD": 1.58}


@cache
def rates() -> tuple[dict[str, str], ...]:
    """Every rate there is, by day: a walk around its centre, on weekdays."""
    dice = random.Random("rates")
    level = dict(CENTRES)
    published = []
    day = FIRST_DAY
    while day <= LAST_DAY:
        if day.weekday() < 5:
            for currency, centre in CENTRES.items():
                level[currency] += 0.02 * (centre - level[currency]) + dice.gauss(0, 0.006)
                rate = Decimal(level[currency]).quantize(Decimal("0.0001"))
                published.append({"date": day.isoformat(), "currency": currency, "rate": str(rate)})
        day += timedelta(days=1)
    return tuple(published)


class Limits:
    """What of the service's behaviour depends on the requests before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._count = 0

    def verdict(self) -> int:
        """The status of this request: 200, 429 or 503."""
        with self._lock:
            now = time.monotonic()
            while self._recent and now - self._recent[0] > 1:
                self._recent.popleft()
            if len(self._recent) >= BURST:
                return 429
            self._recent.append(now)
            self._count += 1
            return 503 if self._count % FAILS_EVERY == 0 else 200


LIMITS = Limits()


class Handler(BaseHTTPRequestHandler):
    """Answers `GET /rates?from=&to=&page=`."""

    def do_GET(self) -> None:
        status = LIMITS.verdict()
        if status == 429:
            self._answer(429, {"error": "too many requests"}, {"Retry-After": "1"})
        elif status == 503:
            self._answer(503, {"error": "try again"}, {})
        else:
            self._rates()

    def _rates(self) -> None:
        parts = urlsplit(self.path)
        question = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            begin = date.fromisoformat(question["from"])
            end = date.fromisoformat(question["to"])
            page = int(question.get("page", "1"))
        except (KeyError, ValueError) as error:
            self._answer(400, {"error": f"ask with from=, to= and page=: {error}"}, {})
            return
        found = [r for r in rates() if begin <= date.fromisoformat(r["date"]) <= end]
        shown = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        pages = max(1, -(-len(found) // PAGE_SIZE))
        self._answer(200, {"rates": shown, "page": page, "pages": pages}, {})

    def _answer(self, status: int, body: object, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            **headers,
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""


def main() -> None:
    """Serve on a free port of the loopback until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


@contextmanager
def serve_rates() -> Iterator[str]:
    """The URL of a rates service that lives as long as the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.communicate()


if __name__ == "__main__":
    main()
