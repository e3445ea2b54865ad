"""The schema registry: schemas of events by id, over the REST interface of Confluent's.

Belongs here: asking it. Does not: what is done with a schema (`aquifer.avro_events`).

By `requests`, as two questions do not carry the packages that Confluent's own client brings.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from aquifer.errors import PassingError, SettingError, SourceError
from aquifer.schema_source import Schema
from resources.rest import TIMEOUT_SECONDS, retrying_session, shown

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"

SCHEMA_NOT_FOUND = 40403
"""The code in the answer that tells a missing schema from a wrong address."""

SETTING = "AQUIFER_SCHEMA_REGISTRY"


@dataclass(frozen=True)
class ConfluentRegistry:
    """A registry that speaks Confluent's REST interface. Each schema is asked for once.

    Args:
        url: where it answers, without a slash at the end.
        user: who asks, or the key of an API; empty: nobody has to say.
        password: of the user, or the secret of the key.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    _known: dict[int, Schema] = field(default_factory=dict, repr=False, compare=False)

    def schema(self, number: int) -> Schema | None:
        if number not in self._known:
            answer = self._ask("GET", f"/schemas/ids/{number}")
            # Protobuf and JSON Schema have ids among the others.
            if "error_code" in answer or answer.get("schemaType", "AVRO") != "AVRO":
                return None
            self._known[number] = json.loads(answer["schema"])
        return self._known[number]

    def register(self, topic: str, schema: Schema) -> int:
        path = f"/subjects/{quote(topic, safe='')}-value/versions"
        return int(self._ask("POST", path, {"schema": json.dumps(schema)})["id"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer, which tells of an error only if there is no such schema.

        Raises:
            PassingError: it cannot be reached, or still fails after all attempts.
            SourceError: it refuses the question, or is no schema registry.
        """
        try:
            with retrying_session() as session:
                response = session.request(
                    method,
                    self.url + path,
                    json=body,
                    headers={"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE},
                    auth=(self.user, self.password) if self.user else None,
                    timeout=TIMEOUT_SECONDS,
                )
        except requests.RequestException as error:
            raise PassingError(
                f"the schema registry at {self.url} cannot be reached ({type(error).__name__}), "
                f"and events in Avro wait until it can; start it, or check {SETTING}"
            ) from error
        return _read(response)


def _read(response: requests.Response) -> dict[str, Any]:
    status, answers = response.status_code, f"{response.status_code} to {response.url}"
    if status == 429 or status >= 500:
        raise PassingError(
            f"the schema registry answers {answers}, and events in Avro wait: {shown(response)}"
        )
    if status in (401, 403):
        raise SourceError(
            f"the schema registry answers {answers}; check {SETTING}_USER and {SETTING}_PASSWORD"
        )
    try:
        answer = response.json()
    except ValueError:
        answer = None
    told = answer if isinstance(answer, dict) else {}
    known = response.ok and told.keys() & {"id", "schema"}
    if not known and told.get("error_code") != SCHEMA_NOT_FOUND:
        raise SourceError(
            f"the schema registry answers {answers}: {shown(response)} (if it is another service, "
            f"correct {SETTING})"
        )
    return told


def schema_registry(settings: Mapping[str, str]) -> ConfluentRegistry | None:
    """The registry that the settings name; None: events are JSON only.

    Raises:
        SettingError: its URL is none, or what reads Avro is not installed.
    """
    url = settings.get(SETTING) or ""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise SettingError(
            f"{SETTING} is no URL like http://host:port; write user and password into "
            f"{SETTING}_USER and {SETTING}_PASSWORD"
        )
    if find_spec("fastavro") is None:
        raise SettingError(f"{SETTING} is set and what reads Avro is missing; install fastavro")
    user, password = (settings.get(f"{SETTING}_{name}") or "" for name in ("USER", "PASSWORD"))
    return ConfluentRegistry(url.rstrip("/"), user, password)
