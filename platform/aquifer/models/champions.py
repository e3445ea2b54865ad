"""Champions: the models that are served, which follow the aliases of the registry.

Belongs here: loading what an alias names, and letting it take the place of another. Does not:
requests (`service`), and the registry itself.

A version is loaded and tried before it takes its place, which is one assignment: a request has
either. One that cannot be used is told of once, and tried again ever later; what was served is
served on, also while the registry is away.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aquifer.errors import AquiferError
from aquifer.models.errors import RegistryError
from aquifer.models.metrics import Metrics
from aquifer.models.model import Model
from aquifer.models.registry import CHALLENGER, CHAMPION, Registry
from aquifer.models.scorer import UNUSABLE, Scorer

logger = logging.getLogger("aquifer.models")

LOOK_SECONDS = 1.0
"""How often the aliases are looked at."""

TRIED = 20
"""Rows that a version scores before it is served: it is warm then."""

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""Before a version is tried again that could not be used."""


@dataclass(frozen=True)
class Served:
    """A model as it is served.

    Attributes:
        champion: what answers.
        challenger: what scores in its shadow.
    """

    model: Model
    champion: Scorer
    challenger: Scorer | None


@dataclass(frozen=True)
class Refusal:
    """Why a version could not be used.

    Attributes:
        again: when it is tried again, by the monotonic clock.
        pause: how long it was to wait for that, in seconds.
    """

    why: str
    again: float
    pause: float


class Champions:
    """Models that are served.

    Args:
        models: those whose champion is served, as soon as there is one.
        required: whether each has to have one.
    """

    def __init__(
        self, registry: Registry, models: Sequence[Model], metrics: Metrics, *, required: bool
    ) -> None:
        self.models = {model.name: model for model in models}
        self.served: dict[str, Served] = {}
        self._registry = registry
        self._metrics = metrics
        self._required = required
        self._looked = False
        self._problems: dict[str, str] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champions", daemon=True)

    def start(self) -> None:
        """Follow the registry from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Follow it no more."""
        self._ended.set()

    @property
    def follows(self) -> bool:
        """Whether it does."""
        return self._thread.is_alive()

    @property
    def problems(self) -> Mapping[str, str]:
        """What is not as it should be, by model; under `registry`, what hinders all."""
        return {**self._problems}

    @property
    def missing(self) -> Mapping[str, str]:
        """What is to be served and is not, each with the reason."""
        problems = self.problems
        if not self._looked:
            return {"registry": problems.get("registry", "it has not answered yet")}
        missing = {
            name: problems[name] for name in self.models if name in problems.keys() - self.served
        }
        if not self.served and not missing:
            return {"champions": "no model has one; `aquifer model train` trains and promotes"}
        return missing

    def _follow(self) -> None:
        while True:
            self.look()
            if self._ended.wait(LOOK_SECONDS):
                return

    def look(self) -> None:
        """Look at the aliases once, and load what they name."""
        try:
            aliases = {name: self._registry.aliases(name) for name in self.models}
        except AquiferError as error:
            self._metrics.registry_up.set(0)
            self._tell("registry", f"{error}; what is loaded is served on")
            return
        self._metrics.registry_up.set(1)
        self._tell("registry", None)
        for name, held in aliases.items():
            self._tell(name, self._serve(self.models[name], held))
        self._looked = True

    def _serve(self, model: Model, aliases: Mapping[str, str]) -> str | None:
        """Serve the versions that the aliases of a model name; what hinders that."""
        before = self.served.get(model.name)
        version = aliases.get(CHAMPION)
        if version is None:
            if before:
                return (
                    f"it has no champion any more; version {before.champion.version} is served on"
                )
            return "it has no champion" if self._required else None
        champion = before.champion if before else None
        problem = None
        if champion is None or champion.version != version:
            champion, problem = self._loaded(model.name, version, champion)
        if champion is None:
            return problem
        challenger = before.challenger if before else None
        shadowing = aliases.get(CHALLENGER)
        if shadowing in (None, champion.version):
            challenger = None
        elif challenger is None or challenger.version != shadowing:
            challenger, refused = self._loaded(model.name, str(shadowing), None)
            problem = problem or refused
        now = Served(model, champion, challenger)
        if now != before:
            self.served[model.name] = now
            self._note(before, now)
        return problem

    def _loaded(
        self, name: str, version: str, otherwise: Scorer | None
    ) -> tuple[Scorer | None, str | None]:
        """A version that can be used; else what is served otherwise, and why."""
        refusal = self._refused.get((name, version))
        if refusal and time.monotonic() < refusal.again:
            return otherwise, refusal.why
        try:
            scorer = self._registry.scorer(name, version)
            _try(scorer)
        except AquiferError as error:
            self._metrics.refused.labels(name).inc()
            pause = min(refusal.pause * 2, LONGEST_PAUSE_SECONDS) if refusal else 0.0
            pause = max(pause, SHORTEST_PAUSE_SECONDS)
            served = f"version {otherwise.version} is served on" if otherwise else "it is not used"
            why = f"{error}; {served}"
            self._refused[name, version] = Refusal(why, time.monotonic() + pause, pause)
            return otherwise, why
        self._refused.pop((name, version), None)
        return scorer, None

    def _note(self, before: Served | None, now: Served) -> None:
        name = now.model.name
        for alias in (CHAMPION, CHALLENGER):
            old, new = (getattr(each, alias, None) for each in (before, now))
            if old is new:
                continue
            if old:
                self._metrics.version.remove(name, alias, old.version)
            if new:
                self._metrics.version.labels(name, alias, new.version).set(1)
            shown = f"version {new.version}" if new else "none"
            logger.info("%s: the %s is %s", name, alias, shown)
            if old and alias == CHAMPION:
                self._metrics.swaps.labels(name).inc()

    def _tell(self, what: str, problem: str | None) -> None:
        """Keep what is not as it should be, and log it when it is new."""
        known = self._problems.get(what)
        if problem is None:
            self._problems.pop(what, None)
            if known:
                logger.info("%s: all is well again", what)
        elif problem != known:
            self._problems[what] = problem
            logger.warning("%s: %s", what, problem)


def _try(scorer: Scorer) -> None:
    """Score what says least.

    Raises:
        RegistryError: the model comes to no number, or cannot score at all.
    """
    plain = {
        each.name: None if each.nullable else ("" if each.categories is not None else 0)
        for each in scorer.inputs
    }
    try:
        for _ in range(TRIED):
            scorer.score([plain])
    except (ValueError, *UNUSABLE) as error:
        raise RegistryError(
            f"version {scorer.version} of {scorer.name} cannot be used: {error}"
        ) from error
