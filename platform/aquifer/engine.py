"""The engine: a Spark Connect session on which every table of the lake can be named.

Belongs here: what any Spark Connect server needs, and the differences between the servers. Does
not: which server it is (resources) and what is asked of it (the builders).
"""

from collections.abc import Iterable
from functools import cache
from itertools import groupby

from pyspark.sql import SparkSession

from aquifer.lake import COMPACTED_BYTES, Lake


def register(session: SparkSession, lake: Lake, names: Iterable[str]) -> None:
    """Name tables of the lake in the session's catalog, from the Delta logs that exist.

    A server's catalog may live in memory only: in a new session nothing is known, and dbt would
    build every incremental model anew.
    """
    # Spark Connect runs a command where it is written; only rows have to be collected.
    for layer, tables in groupby(sorted(names), key=lambda name: name.split(".")[0]):
        session.sql(f"CREATE DATABASE IF NOT EXISTS {layer}")
        known = {row.tableName for row in session.sql(f"SHOW TABLES IN {layer}").collect()}
        for name in tables:
            if name.split(".")[1] not in known:
                place = literal(lake.uri(name))
                # Another thread may have named it meanwhile.
                session.sql(
                    f"CREATE TABLE IF NOT EXISTS {name} USING delta {_options(session)} "
                    f"LOCATION {place}"
                )


@cache
def _options(session: SparkSession) -> str:
    """Clause of a table's definition that bounds the files which a MERGE or DELETE writes.

    Sail else puts all that it touches into one, which grows each time. To Spark, which tells the
    client's version as its own, it means nothing.
    """
    ((version,),) = session.sql("select version()").collect()
    spark = str(version).startswith(session.version)
    return "" if spark else f"OPTIONS (target_file_size '{COMPACTED_BYTES}')"


def literal(text: str) -> str:
    """A text as a Spark SQL literal that Spark takes for nothing else."""
    # Spark replaces ${name} by a setting before it parses, within quotes too.
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\u0024{")
    return f"'{escaped}'"


def literals(texts: Iterable[str]) -> str:
    """Texts as the inside of a Spark SQL list: `'a', 'b'`."""
    return ", ".join(literal(text) for text in texts)
