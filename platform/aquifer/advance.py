"""What one advance of a table did: the counts that its metadata and checks are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Advance:
    """The result of taking in what is new.

    Rows are counted once each: `rows_in = kept + quarantined + duplicates`, where duplicates are
    rows that bring nothing new (the same row again, or an older state of a row). `written` of the
    kept rows changed the table; the others were there already.
    """

    table: str
    rows_in: int = 0
    kept: int = 0
    quarantined: int = 0
    duplicates: int = 0
    written: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    versions_read: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    seconds: float = 0.0
    sample: str = ""

    @property
    def accounted(self) -> bool:
        """Whether every row that came in is in the table, in the quarantine or a duplicate."""
        return self.rows_in == self.kept + self.quarantined + self.duplicates

    @property
    def quality(self) -> float:
        """The share of rows that were not refused."""
        return 1.0 - self.quarantined / self.rows_in if self.rows_in else 1.0
