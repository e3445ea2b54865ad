"""A flow: tables that one run keeps up while events come, by loops beside each other.

Belongs here: what its kinds (`drain`, `downstream`) share: building, compaction, what is due. Does
not: which table is advanced when, how loops run (`loops`), what Dagster is told (`flow_report`).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aquifer.advance import Advance
from aquifer.dbt_project import failure, is_test
from aquifer.errors import PassingError
from aquifer.gold import Gold
from aquifer.lake import Lake
from aquifer.loops import Loop
from aquifer.missing_files import missing_file
from aquifer.runtime import Runtime
from aquifer.silver_events import EventTable
from aquifer.tally import Tally

COMMITS_PER_COMPACTION = 40


class GoldFailed(PassingError):
    """A model could not be built."""


@dataclass
class Flow(ABC):
    """What a run of events does.

    Args:
        remote: URL of the engine session of `runtime`, which dbt shares.
        tables: silver tables of events; upstream of them is bronze.
        gold: of it the tables that hang on these.
    """

    runtime: Runtime
    remote: str
    tables: Sequence[EventTable]
    gold: Gold
    tally: Tally = field(default_factory=Tally)
    _commits: dict[str, int] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)

    @abstractmethod
    def loops(self) -> list[Loop]:
        """The loops, each taking what the one before it has committed."""

    def lag(self) -> dict[str, int]:
        """How many events each table has yet to take in, of those for which that is known."""
        return {}

    @property
    def _lake(self) -> Lake:
        return self.runtime.lake

    @property
    def _events(self) -> list[str]:
        """The names of the tables of events."""
        return [table.name for table in self.tables]

    def _is_due(self, name: str) -> bool:
        return time.monotonic() >= self._due.get(name, 0.0)

    def _begin(self, name: str, every: float) -> None:
        """Let a table be due again so many seconds from here."""
        self._due[name] = time.monotonic() + every

    def _build(self, names: Sequence[str], **how: Any) -> None:
        """Build gold tables; `how` is as of `Gold.build`."""
        self._noted(self.gold.build(self.runtime, self.remote, names, **how))

    def _noted(self, events: Iterable[dict[str, Any]]) -> None:
        failed = []
        for event in events:
            if event["info"]["name"] in ("LogModelResult", "LogTestResult"):
                self.tally.note(event)
            if (reason := failure(event)) and not is_test(event):
                failed.append(reason)
        if failed:
            said = "; ".join(failed)
            raise missing_file(said) or GoldFailed(said)

    def _added(self, advance: Advance, *beside: str) -> bool:
        """Note an advance, which may write tables beside its own; whether it had news."""
        self.tally.add(advance)
        if advance.rows_in:
            self._written(advance.table, *beside)
        return bool(advance.rows_in)

    def _written(self, name: str, *beside: str) -> None:
        """Put small files of tables together once one has many."""
        self._commits[name] = self._commits.get(name, 0) + 1
        if self._commits[name] % COMMITS_PER_COMPACTION == 0:
            with self._lake.lease([name, *beside]):
                for each in (name, *beside):
                    self._lake.compact(each)
