"""Queries on the lake: DuckDB over the Delta tables, without an engine session.

Belongs here: reading with SQL. Does not: writing, which only assets do.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Protocol
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from upath import UPath

from aquifer.cache import Cache
from aquifer.errors import AquiferError
from aquifer.lake import DELETED, RETENTION, Lake
from aquifer.missing_files import missing_file

_TABLE = re.compile(
    r"""'(?:[^']|'')*' | --[^\n]* | /[*].*?[*]/  # text and comments, which name no table
    | "?\b(?P<layer>bronze|silver|stream|gold|features|predictions|monitoring|serving)"?
      \s*[.]\s*"?(?P<table>[a-z][a-z0-9_]*)\b"?
      (?:\s+version\s+as\s+of\s+(?P<version>[0-9]+)\b)?""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class QueryError(AquiferError):
    """A query that cannot be answered."""


class ServedTable(Protocol):
    """A table that nobody stores, under a name of `serving`."""

    @property
    def name(self) -> str: ...

    def sql(self, lake: Lake, cache: Cache | None, register: Callable[[str, pa.Table], str]) -> str:
        """The query that its rows are now, over tables of the lake and of serving.

        Args:
            register: names rows to the query; returns the name.

        Raises:
            QueryError: it has nothing to answer from.
        """
        ...


class Queries:
    """A warm reader of a lake: tables are opened once, and looked at again for each query.

    Rows that a silver table marks as deleted are not shown.

    Args:
        lake: where the tables are.
        served: tables of `serving`, which are computed when they are asked for.
        cache: keeps what they are computed from.
    """

    def __init__(
        self, lake: Lake, served: Iterable[ServedTable] = (), cache: Cache | None = None
    ) -> None:
        self._lake = lake
        self._served = {view.name: view for view in served}
        self._cache = cache
        self._connection = duckdb.connect()
        self._open: dict[str, DeltaTable] = {}
        self._shown: dict[str, int] = {}

    def run(self, sql: str) -> pa.Table:
        """The result of one SQL statement over `<layer>.<table>` names.

        `<layer>.<table> version as of <n>` is the table as a past version left it. Columns of one
        name are numbered apart: `n`, `n_1`.

        Raises:
            QueryError: a table or version does not exist, or the SQL is wrong.
            MissingFile: a table lacks a data file.
        """
        try:
            relation = self._connection.sql(_TABLE.sub(self._view, sql))
            result: pa.Table | None = None if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise missing_file(str(error)) or QueryError(str(error).splitlines()[0]) from error
        if result is None:
            raise QueryError(
                "the statement is empty; write one like 'select * from gold.dim_date limit 5'"
            )
        return result.rename_columns(_apart(result.column_names))

    def _view(self, match: re.Match[str]) -> str:
        """What stands for a part of the query: of a table, the view that shows it."""
        if not match["table"]:
            return match[0]
        layer, table = match["layer"].lower(), match["table"].lower()
        name = f"{layer}.{table}"
        if name in self._served and not match["version"]:
            return self._serve(self._served[name])
        if name not in self._open and not self._lake.exists(name):
            names = [*self._lake.names(), *self._served]
            known = ", ".join(names) if self._lake.names() else "none yet; run `make demo` first"
            raise QueryError(f"there is no table {name}; the tables are: {known}")
        if match["version"]:
            delta = self._past(name, int(match["version"]))
            table = f"{table}@{match['version']}"
        else:
            delta = self._present(name)
        view = f'"{layer}"."{table}"'
        if self._shown.get(view) != delta.version():
            self._connection.execute(f'create schema if not exists "{layer}"')
            self._connection.execute(
                f"create or replace view {view} as {self._select(name, delta)}"
            )
            self._shown[view] = delta.version()
        return view

    def _serve(self, view: ServedTable) -> str:
        """The name of a served table, computed for this query."""
        query = view.sql(self._lake, self._cache, self._registered)
        layer, table = view.name.split(".")
        self._connection.execute(f'create schema if not exists "{layer}"')
        name = f'"{layer}"."{table}"'
        self._connection.execute(
            f"create or replace view {name} as {_TABLE.sub(self._view, query)}"
        )
        return name

    def _registered(self, name: str, rows: pa.Table) -> str:
        self._connection.register(name, plain(rows))
        return name

    def _present(self, name: str) -> DeltaTable:
        try:
            if name in self._open:
                self._open[name].update_incremental()
            else:
                self._open[name] = self._lake.table(name)
        except DeltaError as error:
            raise QueryError(
                f"the log of {name} cannot be read: {str(error).splitlines()[0]}; what a power "
                "failure has torn `aquifer up` mends, and so does each run that writes the table"
            ) from error
        return self._open[name]

    def _past(self, name: str, version: int) -> DeltaTable:
        gone = f"version {version} of {name} cannot be read any more, or not yet"
        known = f"the latest is {self._lake.version(name)}; VACUUM keeps {RETENTION.days} days"
        try:
            delta = self._lake.table(name, version)
        except DeltaError as error:
            raise QueryError(f"{gone}; {known}") from error
        options = dict(self._lake.storage_options)
        if not all(UPath(unquote(uri), **options).exists() for uri in delta.file_uris()):
            raise QueryError(f"{gone}; {known}")
        return delta

    def _select(self, name: str, delta: DeltaTable) -> str:
        fields = delta.schema().fields
        # DuckDB reads an instant in the time zone of the host; as plain microseconds it is UTC.
        instants = [f.name for f in fields if str(f.type) == 'PrimitiveType("timestamp")']
        # A partition's value stands in the file's name, as text.
        days = [f.name for f in fields if str(f.type) == 'PrimitiveType("date")']
        typed = [
            *(f"make_timestamp(epoch_us({name})) as {name}" for name in instants),
            *(f"cast({name} as date) as {name}" for name in days),
        ]
        replaced = f" replace ({', '.join(typed)})" if typed else ""
        live = f" where not {DELETED}" if DELETED in {f.name for f in fields} else ""
        return f"select *{replaced} from {self._source(name, delta)}{live}"

    def _source(self, name: str, delta: DeltaTable) -> str:
        """The table's files as DuckDB reads them, three times as fast as through Arrow.

        It has no client for object stores here, and nothing to read in an empty table.
        """
        files = delta.file_uris()
        if files and "://" not in self._lake.root:
            listed = ", ".join("'" + unquote(file).replace("'", "''") + "'" for file in files)
            return (
                f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, "
                "hive_types_autocast = false)"
            )
        source = f"{name.replace('.', '_')}_{delta.version()}"
        self._connection.register(source, delta.to_pyarrow_dataset())
        return source


def plain(rows: pa.Table) -> pa.Table:
    """Rows with instants in UTC without a zone: DuckDB would show others in the host's."""
    fields = [
        field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field
        for field in rows.schema
    ]
    return rows.cast(pa.schema(fields))


def _apart(names: Sequence[str]) -> list[str]:
    apart: list[str] = []
    for name in names:
        numbered = (f"{name}_{n}" for n in count(1))
        free = (other for other in numbered if other not in names and other not in apart)
        apart.append(next(free) if name in apart else name)
    return apart
