"""What a table needs to take in what is new: the engine's session, the lake and scratch space."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import parquet
from pyspark.sql import DataFrame, SparkSession
from upath import UPath

from aquifer.lake import Lake
from aquifer.models.live_champion import LiveChampions
from aquifer.schema_source import SchemaSource

SCRATCH = "_staging"

SENT_BYTES = 8 * 1024 * 1024

GROUP_ROWS = 16_384
"""Of a file, so that several of the engine's threads share it."""

_NAMES = Lock()
"""The views of a session are those of all its threads."""


@dataclass(frozen=True)
class Runtime:
    """An engine session and the lake that it writes.

    Args:
        schemas: where the schemas of binary events are found; None: no event is binary.
        champions: the models that streams score with; None: none.
    """

    session: SparkSession
    lake: Lake
    schemas: SchemaSource | None = None
    champions: LiveChampions | None = None

    @contextmanager
    def names(self) -> Iterator[None]:
        """Be the only thread that gives relations names which queries are written with."""
        with _NAMES:
            yield

    @contextmanager
    def staging(self) -> Iterator[str]:
        """A place for the checked rows of one batch, removed afterwards."""
        place = f"{self.lake.root}/{SCRATCH}/{uuid4().hex}"
        try:
            yield place
        finally:
            remove_tree(UPath(place, **dict(self.lake.storage_options)))

    def named(self, view: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> str:
        """Name rows, of which there is one at least, in the session; the name."""
        table = pa.Table.from_pylist(list(rows), schema)
        self.session.createDataFrame(table).createOrReplaceTempView(view)
        return view

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

    def hand_over(self, rows: pa.Table, place: str, name: str) -> DataFrame:
        """Rows of this process as the engine reads them.

        Few are sent to it; more, which would be too many for one message, are in a file in a place
        of `staging()`. So are none, of which Sail makes no relation.
        """
        if len(rows) and rows.nbytes <= SENT_BYTES:
            return self.session.createDataFrame(rows)
        file = UPath(place, **dict(self.lake.storage_options)) / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as written:
            # Read once, whole: nothing that makes it smaller, or rows easier to find, pays.
            parquet.write_table(
                rows,
                written,
                row_group_size=GROUP_ROWS,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
            )
        return self.session.read.parquet(f"{place}/{name}.parquet")


def remove_tree(folder: UPath) -> None:
    """Remove a folder and all that is in it, on any file system; absent is fine."""
    if folder.exists():
        folder.fs.rm(folder.path, recursive=True)
