"""What a table needs to take in what is new: the engine's session, the lake and scratch space."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from pyspark.sql import SparkSession
from upath import UPath

from aquifer.lake import Lake

SCRATCH = "_staging"


@dataclass(frozen=True)
class Runtime:
    """An engine session and the lake that it writes."""

    session: SparkSession
    lake: Lake

    @contextmanager
    def staging(self) -> Iterator[str]:
        """A place for the checked rows of one batch, removed afterwards."""
        place = f"{self.lake.root}/{SCRATCH}/{uuid4().hex}"
        try:
            yield place
        finally:
            remove_tree(UPath(place, **dict(self.lake.storage_options)))


def remove_tree(folder: UPath) -> None:
    """Remove a folder and all that is in it, on any file system; absent is fine."""
    if folder.exists():
        folder.fs.rm(folder.path, recursive=True)
