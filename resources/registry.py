"""The model registry: MLflow in the home, or a server or database by URL."""

from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ConfigurableResource, MetadataValue
from pydantic import Field

from aquifer.errors import SettingError
from resources.lake import LakeResource

if TYPE_CHECKING:
    from aquifer.models.registry import Registry

SCHEMES = ("sqlite", "postgresql", "http", "https")


class RegistryResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where models are registered."""

    uri: str = Field(description="MLflow's tracking URI: a server, PostgreSQL or SQLite.")
    folder: str = Field(description="Folder of artifacts, studies and fetched bundles.")
    lake: LakeResource

    @property
    def registry(self) -> "Registry":
        from aquifer.models.registry import Registry

        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        # A server keeps artifacts where it was told to.
        artifacts = None if self.uri.startswith("http") else str(folder / "artifacts")
        return Registry(self.uri, artifacts, folder / "bundles", self.lake.lake.leases)

    @property
    def studies(self) -> str:
        """URL of the database of Optuna's studies."""
        return f"sqlite:///{self.folder}/studies.db"

    @property
    def reports(self) -> Path:
        """Where reports of monitoring are written."""
        return Path(self.folder, "reports")

    def link(self, experiment: str, run: str) -> MetadataValue[str]:
        """Where a run is looked at."""
        if self.uri.startswith("http"):
            return MetadataValue.url(f"{self.uri}/#/experiments/{experiment}/runs/{run}")
        return MetadataValue.text(f"{run} (`aquifer model ui` shows it)")


def checked(uri: str) -> str:
    """The URI, if it is one of a registry.

    Raises:
        SettingError: it is of another kind.
    """
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in SCHEMES:
        raise SettingError(
            f"AQUIFER_MLFLOW begins with '{scheme}'; write http://host:port of an MLflow server, "
            "or postgresql://user:password@host:port/database"
        )
    return uri
