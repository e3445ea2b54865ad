"""The dbt project in this process: parsed once, run without a subprocess.

Belongs here: parsing, invoking, what dbt reports. Does not: progress and leases (`gold`), what
Dagster shows (`dbt_assets`).
"""

import hashlib
import json
import queue
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from upath import UPath

from aquifer.errors import AquiferError
from aquifer.runtime import remove_tree

# dbt-spark asks each session for Hive, which a Spark Connect server cannot be told any more.
warnings.filterwarnings("ignore", message="Failed to set spark.sql.catalogImplementation")


class DbtError(AquiferError):
    """dbt could not parse the project or could not begin a build."""


@dataclass(frozen=True)
class DbtProject:
    """A dbt project; parsed once for all homes that it builds.

    Args:
        folder: the project with its profiles; its manifest is kept in `target` below.
        runs: where dbt writes while it runs.
    """

    folder: Path
    runs: Path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest as dbt writes it, parsed anew only when the project has changed."""
        if not self._current.exists():
            self._parse()
        manifest: Mapping[str, Any] = json.loads(self._current.read_text(encoding="utf-8"))
        return manifest

    def load(self) -> None:
        """Do what dbt does once a process, so that processes forked afterwards need not."""
        # The project has no exposures: nothing is listed.
        deque(self.run(["list", "--quiet", "--resource-type", "exposure"], {}), maxlen=0)

    def run(
        self, arguments: Sequence[str], variables: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Run a dbt command in this process; its events as they come.

        Raises:
            DbtError: dbt could not begin; failed models and tests are events.
        """
        from dbt.cli.main import dbtRunner, dbtRunnerResult
        from dbt_common.events.base_types import EventMsg
        from dbt_common.events.functions import msg_to_dict

        events: queue.Queue[dict[str, Any] | dbtRunnerResult] = queue.Queue()

        def report(message: EventMsg) -> None:
            events.put(msg_to_dict(message))

        target = self.runs / uuid4().hex
        command = [
            # Nobody reads its artifacts: the events tell all that they would.
            "--no-write-json",
            *arguments,
            "--log-level",
            "none",
            "--vars",
            json.dumps(variables),
            *self._places(target),
        ]
        runner = dbtRunner(manifest=self._fresh(), callbacks=[report])
        worker = threading.Thread(target=lambda: events.put(runner.invoke(command)), daemon=True)
        worker.start()
        try:
            while isinstance(event := events.get(), dict):
                yield self._with_query(event, target)
        finally:
            worker.join()
            remove_tree(UPath(target))
        if event.exception is not None:
            raise DbtError(f"dbt could not build gold: {event.exception}") from event.exception

    def _with_query(self, event: dict[str, Any], target: Path) -> dict[str, Any]:
        """The event; that of a finished model has its query as `compiled`."""
        if event["info"]["name"] == "LogModelResult":
            path = event["data"]["node_info"]["node_path"]
            compiled = target / "compiled" / self.manifest["metadata"]["project_name"] / "models"
            query = compiled / path
            event["compiled"] = query.read_text(encoding="utf-8") if query.exists() else ""
        return event

    @cached_property
    def _parsed(self) -> Any:
        from dbt.contracts.graph.manifest import Manifest

        _ = self.manifest
        return Manifest.from_msgpack(self._current.with_suffix(".msgpack").read_bytes())

    def _fresh(self) -> Any:
        """What is parsed, without what dbt notes on the nodes that it compiles and runs."""
        fresh = copy(self._parsed)
        fresh.nodes = {name: copy(node) for name, node in fresh.nodes.items()}
        for node in fresh.nodes.values():
            node.extra_ctes = []
            node._event_status = {}
        return fresh

    def _parse(self) -> None:
        from dbt.cli.main import dbtRunner

        scratch = self._current.parent / f"parse-{uuid4().hex}"
        try:
            scratch.mkdir(parents=True)
        except OSError as error:
            raise DbtError(
                f"cannot keep dbt's manifest in {scratch.parent}: {error.strerror}; make it "
                "writable for the first start after a change of the project"
            ) from error
        result = dbtRunner().invoke(["parse", "--log-level", "none", *self._places(scratch)])
        if not result.success:
            raise DbtError(f"dbt cannot parse {self.folder}: {result.exception}")
        # Renamed into place, the manifest last: other processes see both whole, or neither.
        packed = self._current.with_suffix(".msgpack")
        (scratch / "partial_parse.msgpack").replace(packed)
        (scratch / "manifest.json").replace(self._current)
        remove_tree(UPath(scratch))

    @cached_property
    def _current(self) -> Path:
        # A manifest is read by the dbt alone that wrote it.
        digest = hashlib.sha256(" ".join(map(version, ("dbt-core", "dbt-spark"))).encode())
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            if path.suffix in {".sql", ".yml"} and name.parts[0] != "target":
                digest.update(str(name).encode())
                digest.update(path.read_bytes())
        return self.folder / "target" / f"manifest-{digest.hexdigest()[:16]}.json"

    def _places(self, target: Path) -> list[str]:
        return [
            "--project-dir",
            str(self.folder),
            "--profiles-dir",
            str(self.folder),
            "--target-path",
            str(target),
            "--log-path",
            str(target),
        ]


def failure(event: Mapping[str, Any]) -> str | None:
    """What failed and why, if the event reports a failed model or test."""
    if event["info"]["name"] != "RunResultError":
        return None
    node = event["data"].get("node_info", {}).get("node_name", "dbt")
    return f"{node}: {' '.join(event['info']['msg'].split())}"


def is_test(event: Mapping[str, Any]) -> bool:
    """Whether the event is of a test."""
    return bool(event["data"].get("node_info", {}).get("resource_type") == "test")


def succeeded(event: Mapping[str, Any]) -> bool:
    """Whether the event reports a model that was built."""
    if event["info"]["name"] != "LogModelResult":
        return False
    status: str = event["data"]["node_info"]["node_status"]
    return status == "success"


def passed_test(event: Mapping[str, Any]) -> bool:
    """Whether the event reports a test that passed."""
    if event["info"]["name"] != "LogTestResult":
        return False
    status: str = event["data"]["status"]
    return status in {"pass", "warn"}
