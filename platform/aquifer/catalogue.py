"""The catalogue: every table that a package declares, found by looking, without a registry."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import TypeVar

from aquifer.contract import Contract

T = TypeVar("T")


def declared(package: ModuleType, kind: type[T]) -> list[T]:
    """All objects of a kind that the package's modules declare, each once, in order of module."""
    found: dict[int, T] = {}
    for module in _modules(package):
        for value in vars(module).values():
            if isinstance(value, kind):
                found.setdefault(id(value), value)
    return list(found.values())


def contracts(package: ModuleType, layer: str) -> dict[str, type[Contract]]:
    """The contract that each module of the package defines, by table: `<layer>.<module>`."""
    return {
        f"{layer}.{module.__name__.rpartition('.')[2]}": value
        for module in _modules(package)
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Contract)
        and value.__module__ == module.__name__
    }


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(info.name)
