"""What a flow did since it last told of it: the sums of advances, and dbt's latest events.

Belongs here: putting together. Does not: telling Dagster (`flow_report`).
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from aquifer.advance import Advance


@dataclass
class Tally:
    """What advances came to since it was last asked; several threads may add and ask."""

    _advances: dict[str, Advance] = field(default_factory=dict)
    _built: dict[str, dict[str, Any]] = field(default_factory=dict)
    _whole: dict[str, str] = field(default_factory=dict)
    _stalled: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, advance: Advance) -> None:
        """Add an advance of a table."""
        with self._lock:
            self._stalled.pop(advance.table, None)
            before = self._advances.get(advance.table)
            self._advances[advance.table] = before.plus(advance) if before else advance

    def stall(self, table: str, why: str) -> None:
        """Keep why a table cannot go on, until it does."""
        with self._lock:
            self._stalled[table] = why

    @property
    def stalled(self) -> dict[str, str]:
        """The tables that cannot go on, each with the reason."""
        with self._lock:
            return dict(self._stalled)

    def note(self, event: dict[str, Any]) -> None:
        """Keep dbt's event of a finished model or test, instead of the one before.

        A model's rows count from the first of these builds on.
        """
        node = event["data"]["node_info"]["unique_id"]
        with self._lock:
            before = self._built.get(node, event)
            if "build" in event:
                event["since"] = before.get("since", before.get("build", event["build"]))
                # The query of a build that only appends tells a part of where columns come from.
                if event["appending"]:
                    event["compiled"] = self._whole.get(node, event["compiled"])
                else:
                    self._whole[node] = event["compiled"]
            self._built[node] = event

    def take(self) -> tuple[list[Advance], list[dict[str, Any]]]:
        """The sum of the advances of each table, and the latest event of each node of dbt."""
        with self._lock:
            taken = list(self._advances.values()), list(self._built.values())
            self._advances, self._built = {}, {}
            return taken
