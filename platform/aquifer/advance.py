"""What one advance of a table did, and how the table stands: the matter of metadata and checks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

LARGE_BATCH = 1_000
"""Rows beyond which the share of refused rows means something."""


@dataclass(frozen=True)
class Standing:
    """How a table stands, whichever advance has brought it there.

    It is read from the table and its quarantine, so that a verdict holds until what it is about is
    mended, and outlives the run that came to it.

    Attributes:
        rows: rows of the table.
        waiting: refused rows that wait in the quarantine.
        reasons: for each reason, how many rows wait because of it.
        batch_rows: rows of the newest batch; a small one counts for nothing after a large one of
            which too many rows are refused.
        batch_waiting: refused rows that have waited since that batch.
        lost: rows that are nowhere; as far as it is known, of all that came in, else of that batch.
    """

    rows: int = 0
    waiting: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    batch_rows: int = 0
    batch_waiting: int = 0
    lost: int = 0

    @property
    def quality(self) -> float:
        """The share of rows that are not refused."""
        return self.rows / (self.rows + self.waiting) if self.rows + self.waiting else 1.0

    @property
    def refused_share(self) -> float:
        """The share of the newest batch that is refused."""
        return self.batch_waiting / self.batch_rows if self.batch_rows > 0 else 0.0

    def exceeds(self, share: float) -> bool:
        """Whether more than this share of the newest batch is refused, and it is large."""
        return self.batch_rows > LARGE_BATCH and self.refused_share > share


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
    unreadable: Sequence[str] = ()
    """What of the source could not be read at all, each with its reason."""
    marks: Mapping[str, int] = field(default_factory=dict)
    """How far the source has been read, by the name of the mark."""
    versions_read: Mapping[str, int] = field(default_factory=dict)
    version: int = 0
    late: int = 0
    """Of the rows kept, those of events that happened before the watermark."""
    watermark: datetime | None = None
    """Until when the events have come in, but for those that come late."""
    seconds: float = 0.0
    sample: str = ""

    def plus(self, later: "Advance") -> "Advance":
        """This advance and a later one of the table as one."""
        return replace(
            later,
            rows_in=self.rows_in + later.rows_in,
            kept=self.kept + later.kept,
            quarantined=self.quarantined + later.quarantined,
            duplicates=self.duplicates + later.duplicates,
            written=self.written + later.written,
            late=self.late + later.late,
            reasons=Counter(self.reasons) + Counter(later.reasons),
            unreadable=[*self.unreadable, *later.unreadable],
            marks={**self.marks, **later.marks},
            seconds=self.seconds + later.seconds,
            sample=later.sample or self.sample,
            watermark=later.watermark or self.watermark,
        )

    @property
    def lost(self) -> int:
        """Rows that came in and are nowhere: not in the table, the quarantine, or duplicates."""
        return self.rows_in - self.kept - self.quarantined - self.duplicates

    @property
    def accounted(self) -> bool:
        """Whether every row that came in is in the table, in the quarantine or a duplicate."""
        return not self.lost
