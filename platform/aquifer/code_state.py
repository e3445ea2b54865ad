"""The state of the code: whether what a process has loaded is still what the files say."""

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from aquifer.plugins import packages

SOURCES = {".py", ".sql", ".yml"}


def sources(project: Path) -> list[Path]:
    """The folders of the code: the mechanism, the packages of the domain, the dbt project."""
    found = [Path(__file__).parent, project / "dbt_project"]
    for name in sorted(packages()):
        spec = find_spec(name)
        found += map(Path, (spec and spec.submodule_search_locations) or [])
    return found


def state(folders: list[Path]) -> frozenset[tuple[str, int, int]]:
    """What tells one state of the code from another: names, times and sizes of its files."""
    found = set()
    for folder in folders:
        for place, below, names in os.walk(folder):
            below[:] = [
                name for name in below if name != "target" and not name.startswith((".", "__"))
            ]
            for name in names:
                path = os.path.join(place, name)
                with suppress(FileNotFoundError):
                    if os.path.splitext(name)[1] in SOURCES:
                        file = os.stat(path)
                        found.add((path, file.st_mtime_ns, file.st_size))
    return frozenset(found)
