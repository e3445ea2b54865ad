"""Live champions: what a stream scores with, which follows the alias of the registry.

Belongs here: when the alias is looked at, and what is loaded. Does not: scoring (`stream_scores`).
What this takes is loaded when there is a champion to look for: a stream runs without it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aquifer.models.registry import Registry
    from aquifer.models.scorer import Scorer

LOOK_SECONDS = 2.0
"""How often the alias is looked at, at most."""


@dataclass
class LiveChampions:
    """The champions of a registry, each loaded once.

    Args:
        registry: opens the registry; None: nobody has begun it, or it cannot be used here.
        look_seconds: how often an alias is looked at, at most.
    """

    registry: Callable[[], "Registry | None"]
    look_seconds: float = LOOK_SECONDS
    _opened: "Registry | None" = None
    _loaded: "dict[str, Scorer | None]" = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> "Scorer | None":
        """The champion of a model; None if there is none.

        Raises:
            RegistryDown: the registry does not answer.
            RegistryError: the champion is damaged.
        """
        now = time.monotonic()
        if name not in self._looked or now - self._looked[name] >= self.look_seconds:
            self._loaded[name] = self._look(name)
            self._looked[name] = now
        return self._loaded[name]

    def _look(self, name: str) -> "Scorer | None":
        self._opened = self._opened or self.registry()
        if self._opened is None:
            return None
        from aquifer.models.registry import CHAMPION

        version = self._opened.version(name, CHAMPION)
        held = self._loaded.get(name)
        if version is None or (held and held.version == version):
            return held if version else None
        return self._opened.scorer(name, version)
