"""Staged relations: what a computation of many steps on the engine has come to so far."""

from aquifer.runtime import Runtime


class Staged:
    """Relations that are written out one after the other, named after what they are."""

    def __init__(self, runtime: Runtime, place: str, prefix: str) -> None:
        self._runtime = runtime
        self._place = place
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._count = 0

    def let(self, name: str, query: str, **parts: object) -> str:
        """Let a name stand for the rows of a query over names; what the session calls it."""
        self._count += 1
        known = self._names | {key: str(part) for key, part in parts.items()}
        place = f"{self._place}/{self._count}"
        staged = f"{self._prefix}_{name}"
        self._runtime.stage(query.format_map(known), place, staged)
        self._names[name] = staged
        return staged

    def any(self, query: str) -> bool:
        """Whether a query has rows."""
        return bool(self._runtime.session.sql(query.format_map(self._names)).limit(1).collect())
