"""A schema registry as tests need one: Confluent's interface over HTTP, and it can be down."""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Registry:
    """A registry on the loopback; what it holds outlives its being down."""

    def __init__(self, user: str = "", password: str = "") -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[int, str] = {}
        self.asked: list[str] = []
        self.failing: int | None = None
        """The status of every answer, if it is ill."""
        self._token = b64encode(f"{user}:{password}".encode()).decode() if user else None
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                registry.answer(self, json.loads(self.rfile.read(length)))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, schema: dict[str, Any] | str, number: int, **told: str) -> None:
        """Hold a schema under an id."""
        self.schemas[number] = {"schema": json.dumps(schema), **told}

    def held(self, number: int) -> dict[str, Any]:
        return json.loads(self.schemas[number]["schema"])

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any] | None) -> None:
        path = urlsplit(handler.path).path
        self.asked.append(f"{handler.command} {path}")
        given = handler.headers.get("Authorization")
        if self.failing:
            status, told = self.failing, {"error_code": 50001, "message": "Error in the backend"}
        elif self._token and given != f"Basic {self._token}":
            status, told = 401, {"error_code": 40101, "message": "Unauthorized"}
        elif body is None:
            status, told = self._get(path)
        else:
            status, told = self._register(path, body["schema"])
        content = json.dumps(told).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _get(self, path: str) -> tuple[int, dict[str, Any]]:
        asked = re.fullmatch(r"/schemas/ids/([0-9]+)", path)
        if asked is None:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        number = int(asked[1])
        if number not in self.schemas:
            return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
        return 200, self.schemas[number]

    def _register(self, path: str, schema: str) -> tuple[int, dict[str, Any]]:
        subject = re.fullmatch(r"/subjects/([^/]+)/versions", path)
        if subject is None:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        for number, held in self.schemas.items():
            if held == {"schema": schema} and self.subjects[number] == subject[1]:
                return 200, {"id": number}
        if '"refused"' in schema:
            return 409, {"error_code": 409, "message": "incompatible with an earlier schema"}
        number = max(self.schemas, default=0) + 1
        self.schemas[number], self.subjects[number] = {"schema": schema}, subject[1]
        return 200, {"id": number}


@contextmanager
def serving(user: str = "", password: str = "") -> Iterator[Registry]:
    registry = Registry(user, password)
    try:
        yield registry
    finally:
        registry.down()
