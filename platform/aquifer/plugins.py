"""The domain, found by the project's entry points, so that the mechanism imports nothing of it."""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

GROUP = "aquifer"

PROJECT = Path(__file__).parents[2]
"""The folder of the project."""


def plugin(name: str) -> Any:
    """What the project names so."""
    (found,) = entry_points(group=GROUP, name=name)
    return found.load()


def packages() -> set[str]:
    """The names of the top packages of the domain."""
    return {_package(point) for point in entry_points(group=GROUP)}


def _package(point: EntryPoint) -> str:
    return point.module.partition(".")[0]
