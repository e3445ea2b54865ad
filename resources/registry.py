"""The model registry: MLflow in the home, or a server or database by URL."""

from pathlib import Path
from typing import TYPE_CHECKING

from dagster import ConfigurableResource, MetadataValue
from pydantic import Field

from aquifer.models.live_champion import LiveChampions
from aquifer.models.packages import missing_packages
from resources.model_registry import opened

if TYPE_CHECKING:
    from aquifer.models.registry import Registry

SQLITE = "sqlite:///"


class RegistryResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where models are registered."""

    uri: str = Field(description="MLflow's tracking URI: a server, PostgreSQL or SQLite.")
    folder: str = Field(description="Folder of artifacts, studies and fetched bundles.")
    leases: str = Field(description="Folder of the leases, or URL of PostgreSQL.")

    @property
    def registry(self) -> "Registry":
        return opened(self.uri, Path(self.folder), self.leases)

    @property
    def champions(self) -> LiveChampions:
        """What streams score with."""
        return LiveChampions(lambda: self.begun)

    @property
    def begun(self) -> "Registry | None":
        """The registry; None: nobody has begun it, or what models take is not installed."""
        path = self.uri.removeprefix(SQLITE)
        absent = path != self.uri and not Path(path).exists()
        return None if absent or missing_packages() else self.registry

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
