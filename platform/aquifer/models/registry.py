"""The registry: versions of models in MLflow, which of them is champion, and who made it so.

Belongs here: what is asked of MLflow. Does not: when a model is promoted (`promotion`), and what a
training tells (`training`).

`@champion` is what is scored with, `@challenger` what was trained last, and `@previous` the
champion before, to which a rollback goes back.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

# Before MLflow is loaded: nothing is told to anyone, and a server that is down is told of soon.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import pyarrow as pa
from mlflow import MlflowClient, set_tracking_uri
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from pyarrow import parquet
from yaml import YAMLError

from aquifer.lease import Leases
from aquifer.models.errors import RegistryDown, RegistryError
from aquifer.models.scorer import GRAPH, MANIFEST, BundleError, Scorer

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

ROLLED_BACK = "rolled_back"
"""The tag of a version that was taken back, with the reason: it is not promoted again."""

PROMOTION = "promotion."
"""What the tags of a model begin with that tell of each move of `@champion`."""

REFERENCE = "reference.parquet"
"""The artifact of a run that holds the rows that its model was measured on."""

SQLITE = "sqlite:///"

TABLES = "mlflow"
"""The lease of who may make MLflow's tables."""

ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}

BROKEN = (MlflowException, OSError, LookupError, TypeError, ValueError, YAMLError)
"""What comes of reading a version of which something is missing or damaged."""


@dataclass(frozen=True)
class Move:
    """A move of the champion's alias.

    Attributes:
        at: when, in ISO 8601, UTC.
        before: the version that was champion, if one was.
        version: the version that is.
        by: who asked for it.
        why: the reason.
    """

    at: str
    before: str | None
    version: str
    by: str
    why: str


class Registry:
    """The registry that a tracking URI names.

    Args:
        uri: of MLflow's tracking server or database.
        artifacts: where artifacts go; None: where the server says.
        folder: where bundles of versions are kept on this machine.
        leases: who may make MLflow's tables.
    """

    def __init__(self, uri: str, artifacts: str | None, folder: Path, leases: Leases) -> None:
        self.uri = uri
        self.artifacts = artifacts
        self._folder = folder
        self._leases = leases

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client."""
        if self.uri.startswith(SQLITE):
            # Connections that stay open would go on reading a database that another has replaced.
            os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        # Of two processes that make its tables at once, MLflow lets one fail.
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        with answered(), self._leases.hold([TABLES]):
            client = MlflowClient(self.uri, self.uri)
            client.search_registered_models(max_results=1)
            client.search_experiments(max_results=1)
        return client

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made if there is none."""
        with answered():
            found = self.client.get_experiment_by_name(name)
            if found:
                return str(found.experiment_id)
            place = f"{self.artifacts}/{name}" if self.artifacts else None
            return str(self.client.create_experiment(name, artifact_location=place))

    def version(self, name: str, alias: str) -> str | None:
        """The version under an alias, if there is one."""
        found = self._found(lambda: self.client.get_model_version_by_alias(name, alias))
        return str(found.version) if found else None

    def aliases(self, name: str) -> Mapping[str, str]:
        """The version under each alias of a model, which need not exist.

        Raises:
            RegistryDown: its database is not there; SQLite would begin an empty one.
        """
        if self.uri.startswith(SQLITE) and not Path(self.uri.removeprefix(SQLITE)).exists():
            raise RegistryDown(f"the registry's database {self.uri} is not there")
        model = self._found(lambda: self.client.get_registered_model(name))
        return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """The tags of a version."""
        with answered():
            found: ModelVersion = self.client.get_model_version(name, version)
        return dict(found.tags)

    def register(self, name: str, model: str, run: str, description: str) -> str:
        """Make a logged model the next version; the version.

        Args:
            model: id of the logged model.
            run: id of the run that logged it.
        """
        with answered():
            if self._found(lambda: self.client.get_registered_model(name)) is None:
                self.client.create_registered_model(name)
            # Where MLflow looks up what `models:/` names, here and in `bundle`.
            set_tracking_uri(self.uri)
            made = self.client.create_model_version(
                # Of the id alone a database makes a version, a server does not.
                name,
                f"models:/{model}",
                run,
                description=description,
                model_id=model,
            )
        return str(made.version)

    def tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version."""
        with answered():
            self.client.set_model_version_tag(name, version, key, value)

    def alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name a version."""
        with answered():
            self.client.set_registered_model_alias(name, alias, version)

    def scorer(self, name: str, version: str) -> Scorer:
        """A version, loaded; its bundle is fetched once.

        Raises:
            RegistryError: what is stored of it is missing or damaged.
        """
        folder = self.bundle(name, version)
        try:
            return Scorer.load(folder)
        except BundleError as error:
            raise RegistryError(
                f"version {version} of {name} cannot be used: {error}; train it again, or remove "
                f"{folder} if the registry's own is whole"
            ) from error

    def bundle(self, name: str, version: str) -> Path:
        """The folder of a version's bundle on this machine.

        Raises:
            RegistryError: what is stored of it is missing or damaged.
        """
        held = self._folder / name / version
        if not held.exists():
            held.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=held.parent) as place, answered():
                bundle = Path(place, "bundle")
                bundle.mkdir()
                try:
                    self._fetch(name, version, bundle)
                except BROKEN as error:
                    if isinstance(error, MlflowException) and error.error_code not in ABSENT:
                        raise
                    raise RegistryError(
                        f"version {version} of {name} cannot be used, as what is stored of it is "
                        f"missing or damaged: {error}; train it again"
                    ) from error
                # Another process may have fetched it meanwhile.
                with suppress(OSError):
                    bundle.rename(held)
        return held

    def reference(self, name: str, version: str) -> pa.Table:
        """The rows that a version was measured on, with its inputs and outputs."""
        with answered(), tempfile.TemporaryDirectory() as place:
            run = str(self.client.get_model_version(name, version).run_id)
            return parquet.read_table(self.client.download_artifacts(run, REFERENCE, place))

    def trained(self, name: str) -> list[datetime]:
        """When each version was registered."""
        with answered():
            versions = self.client.search_model_versions(f"name = '{name}'")
        return [datetime.fromtimestamp(v.creation_timestamp / 1000, UTC) for v in versions]

    def _fetch(self, name: str, version: str, bundle: Path) -> None:
        """Put what is stored of a version into a folder."""
        found = self.client.get_model_version(name, version)
        set_tracking_uri(self.uri)
        logged = Path(download_artifacts(found.source, tracking_uri=self.uri))
        manifest = (Model.load(str(logged)).metadata or {})["manifest"]
        shutil.copy(logged / GRAPH, bundle)
        (bundle / MANIFEST).write_text(
            json.dumps({**manifest, "version": version}, indent=1), encoding="utf-8"
        )

    def champion(self, name: str) -> Scorer | None:
        """The champion, loaded; None if there is none."""
        version = self.version(name, CHAMPION)
        return self.scorer(name, version) if version else None

    def moves(self, name: str) -> list[Move]:
        """Each move of the champion's alias, the last one first."""
        model = self._found(lambda: self.client.get_registered_model(name))
        told = [
            Move(**json.loads(value))
            for tag, value in (model.tags if model else {}).items()
            if tag.startswith(PROMOTION)
        ]
        return sorted(told, key=lambda move: move.at, reverse=True)

    def promote(self, name: str, version: str, by: str, why: str) -> Move:
        """Let a version be the champion, and what was so until now `@previous`.

        Each step can be repeated: killed at any instant, there is one champion, and it is told of.
        """
        with answered():
            before = self.version(name, CHAMPION)
            move = self._record(name, before, version, by, why)
            if before and before != version:
                self.client.set_registered_model_alias(name, PREVIOUS, before)
            self.client.set_registered_model_alias(name, CHAMPION, version)
        return move

    def rollback(self, name: str, by: str, why: str) -> Move:
        """Let the champion before be champion again.

        Raises:
            RegistryError: there is none.
        """
        with answered():
            before, version = self.version(name, CHAMPION), self.version(name, PREVIOUS)
            if version is None or version == before:
                raise RegistryError(f"{name} has no previous champion to go back to")
            move = self._record(name, before, version, by, why)
            if before:
                self.client.set_model_version_tag(name, before, ROLLED_BACK, why)
            self.client.set_registered_model_alias(name, CHAMPION, version)
            self.client.delete_registered_model_alias(name, PREVIOUS)
        return move

    def _record(self, name: str, before: str | None, version: str, by: str, why: str) -> Move:
        # A tag's name holds no plus sign.
        now = f"{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"
        move = Move(now, before, version, by, why)
        self.client.set_registered_model_tag(
            name, f"{PROMOTION}{move.at}", json.dumps(vars(move), ensure_ascii=False)
        )
        return move

    def _found(self, ask: Callable[[], Any]) -> Any:
        """What MLflow answers, None for what it has not."""
        with answered():
            try:
                return ask()
            except MlflowException as error:
                if error.error_code in ABSENT:
                    return None
                raise


@contextmanager
def answered() -> Iterator[None]:
    """Let what MLflow cannot do be one line."""
    try:
        yield
    except MlflowException as error:
        said = str(error).splitlines()[0]
        if error.error_code in ABSENT:
            raise RegistryError(f"MLflow has not what was asked for: {said}") from error
        raise RegistryDown(
            f"MLflow does not answer: {said}; start the server or database that AQUIFER_MLFLOW "
            "names, and try again"
        ) from error
