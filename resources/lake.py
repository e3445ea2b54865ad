"""The lake by URL, reached through dagster-deltalake's storage settings."""

from pathlib import Path

from dagster import ConfigurableResource
from dagster_deltalake.config import AzureConfig, GcsConfig, LocalConfig, S3Config
from pydantic import Field

from aquifer.lake import Lake
from aquifer.lease import FileLeases


class LakeResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where the Delta tables lie, and where their writers take leases."""

    root: str = Field(description="Folder or object-store URL.")
    leases: str = Field(description="Folder of the leases, on a disk that every writer shares.")
    storage: LocalConfig | AzureConfig | S3Config | GcsConfig = Field(
        default_factory=LocalConfig, discriminator="provider"
    )

    @property
    def lake(self) -> Lake:
        options = self.storage.str_dict()
        del options["provider"]
        return Lake(self.root, FileLeases(Path(self.leases)), options)
