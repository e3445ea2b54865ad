"""The online store of features: SQLite in the home, or Redis by URL."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from aquifer.errors import PassingError, SettingError
from aquifer.features.online import OnlineStore
from resources.sqlite import connect, transaction

REDIS = "redis://"

ROWS_A_COMMAND = 1000

PATIENCE_SECONDS = 5.0
"""How long an answer of Redis may take."""


class SqliteOnlineStore:
    """Rows in a SQLite database, which readers see change as a whole.

    Args:
        path: the database; it need not exist.
    """

    remote = False

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute(
            "create table if not exists features (view text, entity text, value text, "
            "primary key (view, entity)) without rowid"
        )

    def replace(self, view: str, rows: Iterable[tuple[str, str]]) -> None:
        with transaction(self._connection):
            self._connection.execute("delete from features where view = ?", [view])
            self._connection.executemany(
                "insert into features values (?, ?, ?)", ((view, *row) for row in rows)
            )

    def get(self, view: str, keys: Sequence[str]) -> Sequence[str | None]:
        # One statement sees one state, whatever replaces it meanwhile.
        rows = self._connection.execute(
            "select entity, value from features where view = ? "
            "and entity in (select value from json_each(?))",
            [view, json.dumps(keys)],
        )
        held = dict(rows.fetchall())
        return [held.get(key) for key in keys]


class RedisOnlineStore:
    """Rows in Redis, a hash a view, which its readers see change as a whole.

    Args:
        url: `redis://[user:password@]host:port[/database]`.
    """

    remote = True

    def __init__(self, url: str) -> None:
        # Imported where it is asked for: an extra.
        import redis

        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
        )
        self._errors = redis.RedisError

    def replace(self, view: str, rows: Iterable[tuple[str, str]]) -> None:
        with self._told():
            held, filled = f"aquifer:{view}", f"aquifer:{view}:next"
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.delete(filled)
            # Of no rows Redis has no hash to rename.
            pipeline.hset(filled, "", "")
            left = iter(rows)
            while many := dict(islice(left, ROWS_A_COMMAND)):
                pipeline.hset(filled, mapping=many)
            pipeline.rename(filled, held)
            pipeline.execute()

    def get(self, view: str, keys: Sequence[str]) -> Sequence[str | None]:
        with self._told():
            return list(self._redis.hmget(f"aquifer:{view}", list(keys)))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise PassingError(f"the online store does not answer: {error}") from error


class OnlineStoreResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where the latest features are looked up."""

    url: str = Field(description="URL of Redis, or a file of SQLite.")

    @property
    def store(self) -> OnlineStore:
        if self.url.startswith(REDIS):
            return RedisOnlineStore(self.url)
        if "://" in self.url:
            raise SettingError(
                f"AQUIFER_ONLINE_STORE begins with '{self.url.partition(':')[0]}'; "
                f"write {REDIS}host:port, or leave it out"
            )
        return SqliteOnlineStore(Path(self.url))
