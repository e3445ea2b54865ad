"""The engine by URL: `sail://` in this process, or `sc://host:port` on a Spark Connect server."""

import atexit
import os
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from dagster_pyspark import LazyPySparkResource
from pydantic import Field, PrivateAttr
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from aquifer.engine import register
from aquifer.errors import SettingError
from resources.lake import LakeResource

SESSION_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Spark's default ends in the year 2262, and other readers take it for what it is not.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # As dbt sets it in the session that it shares: what a query says must not hang on whether dbt
    # has run before it.
    "spark.sql.ansi.enabled": "false",
    # An error is told in its own words, without the stack of the server.
    "spark.sql.connect.serverStacktrace.enabled": "false",
}

for told_by in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
    # pyspark else prints each error of Spark as JSON, beside raising it.
    PySparkLogger.getLogger(told_by).disabled = True


class EngineResource(LazyPySparkResource):
    """One Spark Connect session a process, in UTC, with every table of the lake registered."""

    url: str
    lake: LakeResource
    spark_config: dict[str, Any] = Field(default_factory=dict)
    _ready: bool = PrivateAttr(default=False)

    @property
    def remote(self) -> str:
        """The session's own URL, which a second client (dbt) takes to share it."""
        return f"{_server(self.url)}/;session_id={self.spark_session.session_id}"

    @property
    def spark_session(self) -> SparkSession:
        if self._ready and not _stands(super().spark_session):
            # The server was started anew. Without it this waits, as long as pyspark tries.
            super().spark_session.stop()
            self._spark_session = None
            self._ready = False
        if not self._ready:
            remote = f"{_server(self.url)}/;session_id={uuid4()}"
            self.spark_config.update({"spark.remote": remote, **SESSION_SETTINGS})
            if urlsplit(self.url).scheme == "sail":
                _within_process(super().spark_session)
            lake = self.lake.lake
            register(super().spark_session, lake, lake.names())
            self._ready = True
        session: SparkSession = super().spark_session
        return session


@cache
def _within_process(session: SparkSession) -> None:
    # No connection is lost here, and a second call an answer is spared.
    session.client.disable_reattachable_execute()
    # Else pyspark asks Sail at the end to forget models, which it has not, and complains.
    atexit.register(session.client.close)


def _stands(session: SparkSession) -> bool:
    """Whether the server knows the session."""
    try:
        session.conf.get("spark.sql.session.timeZone")
    except PySparkException:
        return False
    return True


def checked(url: str) -> str:
    """The URL, if it names an engine.

    Raises:
        SettingError: it names none.
    """
    parts = urlsplit(url)
    if parts.scheme == "sail" or (parts.scheme == "sc" and parts.hostname):
        return url
    raise SettingError(
        f"AQUIFER_ENGINE is '{url}', which names no engine; use sail:// or sc://host:port"
    )


@cache
def _server(url: str) -> str:
    parts = urlsplit(checked(url))
    return f"sc://127.0.0.1:{_start_sail()}" if parts.scheme == "sail" else f"sc://{parts.netloc}"


@cache
def _start_sail() -> int:
    # Imported here, after any fork: its threads would not survive one. It logs every request.
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    port: int = server.listening_address[1]
    _servers.append(server)
    return port


_servers: list[Any] = []
"""Keeps the server alive as long as the process."""
