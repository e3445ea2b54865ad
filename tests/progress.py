"""How far a home has come, told by the files that were written in it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

WATCHED = ("landing", "sources", "lake")


def files(home: Path, within: Sequence[str] = WATCHED) -> Iterator[Path]:
    """What sources and tables have written, data files and commits, in any order.

    Scratch files come and go, and a snapshot writes a file a day for one commit: neither tells
    anything.
    """
    for watched in within:
        for folder, folders, names in os.walk(home / watched):
            folders[:] = [f for f in folders if f != "_staging" and not f.startswith("day=")]
            yield from (Path(folder, name) for name in names)


def count(home: Path, within: Sequence[str] = WATCHED) -> int:
    """How many there are; it grows with the work that was done, also with that done twice."""
    return sum(1 for _ in files(home, within))


def latest(home: Path) -> str:
    """The table, as `<layer>.<table>`, that was written last; before all tables, the folder."""
    last = max(files(home), key=lambda file: file.stat().st_mtime_ns)
    parts = last.relative_to(home).parts
    return ".".join(parts[1:3]) if parts[0] == "lake" else parts[0]
