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

    def stage(self, query: str, place: str, view: str) -> str:
        """Write a query's rows to a folder below `staging()` and name them; the name."""
        folder = f"{place}/{view}"
        rows = self.session.sql(query)
        rows.write.parquet(folder)
        # Of no rows Sail writes no file, not even the folder.
        written = UPath(folder, **dict(self.lake.storage_options)).exists()
        staged = self.session.read.parquet(folder) if written else rows.limit(0)
        staged.createOrReplaceTempView(view)
        return view


def remove_tree(folder: UPath) -> None:
    """Remove a folder and all that is in it, on any file system; absent is fine."""
    if folder.exists():
        folder.fs.rm(folder.path, recursive=True)
