"""The embedded cache: a file a value, in a folder of this machine."""

import os
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

TIME_TO_LIVE = timedelta(hours=1)


class FolderCache:
    """Values as files, which any number of processes read and write.

    Args:
        folder: where they are; it need not exist.
        time_to_live: how long a value is given out after it was put.
    """

    def __init__(self, folder: Path, time_to_live: timedelta = TIME_TO_LIVE) -> None:
        self._folder = folder
        self._time_to_live = time_to_live

    def get(self, key: str) -> bytes | None:
        path = self._folder / key
        try:
            fresh = path.stat().st_mtime >= self._oldest()
            return path.read_bytes() if fresh else None
        except FileNotFoundError:
            return None

    def put(self, key: str, value: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Named anew once it is whole, so that no reader sees a part of it.
        written = self._folder / f".{key}.{os.getpid()}"
        written.write_bytes(value)
        written.replace(self._folder / key)
        for path in self._folder.iterdir():
            # Another process may have forgotten it before.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < self._oldest():
                    path.unlink()

    def _oldest(self) -> float:
        return time.time() - self._time_to_live.total_seconds()


class CacheResource(ConfigurableResource):  # type: ignore[type-arg]
    """Where answers are kept for an hour."""

    folder: str = Field(description="Folder of the cache.")

    @property
    def cache(self) -> FolderCache:
        return FolderCache(Path(self.folder))
