"""The landing folder: which files have landed whole."""

import filecmp
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aquifer.errors import SettingError

QUIET_SECONDS = 2.0
"""How long a file must have been left alone to count as written."""

SKEW_SECONDS = 60.0
"""How far ahead of this clock that of a file just written may be."""

SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True)
class LandedFile:
    """A file that was left alone for long enough.

    Args:
        landed_as: its name in the folder, compression and all.
        content: the content as delivered.
    """

    landed_as: str
    content: bytes

    @property
    def name(self) -> str:
        """The identity of the file, compressed or not."""
        return _identity(self.landed_as)

    @property
    def sha256(self) -> str:
        """Hash of the content as delivered."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class LandingFolder:
    """A folder into which files are delivered; `.part`, `.tmp` and hidden names are ignored."""

    folder: Path
    quiet_seconds: float = QUIET_SECONDS

    def check(self) -> None:
        """Raise SettingError unless the folder is there and holds files to read."""
        if not self.folder.is_dir():
            raise SettingError(f"the folder {self.folder} does not exist; name one with CSV files")
        if not self.paths():
            raise SettingError(f"the folder {self.folder} holds no .csv or .csv.gz file; add some")

    def files(self) -> Iterator[LandedFile]:
        """The settled files by name; of `x.csv` and `x.csv.gz`, the one written last."""
        newest = {_identity(path.name): path for path in self.paths()}
        for _, path in sorted(newest.items()):
            before = path.stat()
            if not self._settled(before):
                continue
            content = path.read_bytes()
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                yield LandedFile(path.name, content)

    def signature(self) -> str:
        """Changes when files come, go or are written; cheap enough to ask every few seconds."""
        stats = [(path.name, path.stat()) for path in self.paths()]
        settled = [
            f"{name}:{stat.st_size}:{stat.st_mtime_ns}"
            for name, stat in stats
            if self._settled(stat)
        ]
        return hashlib.sha256("\n".join(settled).encode()).hexdigest()

    def _settled(self, stat: os.stat_result) -> bool:
        age = time.time() - stat.st_mtime
        # Written before a clock was set back: it would wait for hours, and changes no more.
        return age >= self.quiet_seconds or age < -SKEW_SECONDS

    def paths(self) -> list[Path]:
        """The files there are; the one written last comes last."""
        if not self.folder.is_dir():
            return []
        paths = [
            path
            for path in self.folder.iterdir()
            if path.name.endswith(SUFFIXES) and not path.name.startswith(".") and path.is_file()
        ]
        return sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))


def deliver(source: Path, landing: Path) -> int:
    """Deliver the files of one folder into the landing folder; see `deliver_files`."""
    return deliver_files(LandingFolder(source).paths(), landing)


def deliver_files(files: Sequence[Path], landing: Path) -> int:
    """Deliver files into the landing folder, each whole at once under its name.

    A file that is there already with the same content is left alone. Returns how many were new.
    """
    delivered = 0
    try:
        landing.mkdir(parents=True, exist_ok=True)
        for path in files:
            target = landing / path.name
            if target.exists() and filecmp.cmp(path, target, shallow=False):
                continue
            part = target.with_name(f"{target.name}.part")
            shutil.copy2(path, part)
            part.replace(target)
            delivered += 1
    except OSError as error:
        raise SettingError(
            f"cannot deliver to {landing}: {error.strerror}; set AQUIFER_HOME to a folder "
            "you may write, on a disk with room"
        ) from error
    return delivered


def _identity(name: str) -> str:
    return name.removesuffix(".gz")
