"""The lake by URL, reached through dagster-deltalake's storage settings."""

import re

from dagster import ConfigurableResource
from dagster_deltalake.config import AzureConfig, GcsConfig, LocalConfig, S3Config
from pydantic import Field

from aquifer.lake import Lake
from aquifer.lease import Leases
from aquifer.links import linked
from resources.database import leases_of


class LakeResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where the Delta tables lie, and where their writers take leases."""

    root: str = Field(description="Folder or object-store URL.")
    leases: str = Field(description="Folder of the leases, or URL of PostgreSQL.")
    storage: LocalConfig | AzureConfig | S3Config | GcsConfig = Field(
        default_factory=LocalConfig, discriminator="provider"
    )

    @property
    def lake(self) -> Lake:
        options = self.storage.str_dict()
        del options["provider"]
        return Lake(_plain(self.root), self._leases, options)

    @property
    def _leases(self) -> Leases:
        return leases_of(self.leases)


def _plain(root: str) -> str:
    """A name of the root that every engine reads: Sail opens no Delta table below a space.

    A folder with such a name is reached through a symbolic link in the temporary folder.
    """
    if "://" in root or re.fullmatch(r"[A-Za-z0-9_./-]+", root):
        return root
    return linked(root)
