"""The quarantine: rows that a contract refused, each once, with every reason and its origin."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.conform import REASONS, REFUSED
from aquifer.contract import Contract, Field, Key, Timestamp, arrow_schema, hours, pii, table
from aquifer.lake import SEQUENCE, Lake
from aquifer.runtime import Runtime

SETTLED = ("replayed_at", "withdrawn_at")
"""Columns that say since when a refused row waits no longer."""

WAITING = " and ".join(f"{column} is null" for column in SETTLED)
"""SQL that a row of a quarantine is refused still, and still what its source says."""


class QuarantinedRow(Contract):
    """One row that the contract of the table beside it refused."""

    position: str = Key(description="where the row stands in its source, which makes it one row")
    source: str = Field(description="file, topic or entity that the row came from")
    reasons: list[str] = Field(description="names of all checks that the row failed")
    raw: str | None = Field(
        description="the row as received, as JSON; null when it is no text: its bytes stand in "
        "_origin",
        metadata=pii("record"),
    )
    repaired: str | None = Field(
        description="the row as a person repaired it", metadata=pii("record")
    )
    replayed_at: Timestamp | None = Field(
        description="when the row, or its repair, was taken in after all; null while it is refused"
    )
    withdrawn_at: Timestamp | None = Field(
        description="when a later delivery of its file took the row's place; null while it counts"
    )

    class Config:
        metadata = table(
            owner="team:platform", grain="a refused row of a source", fresh_within=hours(26)
        )


TECHNICAL = pa.schema(
    [pa.field("_origin", pa.string()), pa.field("_quarantined_at", pa.timestamp("us", "UTC"))]
)


def quarantine_name(table_name: str) -> str:
    """The quarantine beside a table."""
    return f"{table_name}_quarantine"


@dataclass(frozen=True)
class WaitingRow:
    """A refused row that waits: the `_seq` of bronze that it came with, and its reasons."""

    received: int
    reasons: Sequence[str]


def waiting(lake: Lake, table_name: str) -> list[WaitingRow]:
    """The refused rows of a table that have neither been taken in nor withdrawn."""
    rows = _unsettled(lake, table_name, ["reasons", "_origin"])
    return [WaitingRow(json.loads(row["_origin"])[SEQUENCE], row["reasons"]) for row in rows]


def waiting_reasons(lake: Lake, table_name: str) -> list[list[str]]:
    """Of each refused row that waits, the reasons."""
    return [row["reasons"] for row in _unsettled(lake, table_name, ["reasons"])]


def _unsettled(lake: Lake, table_name: str, columns: list[str]) -> list[dict[str, Any]]:
    name = quarantine_name(table_name)
    if not lake.exists(name) or not lake.table(name).count():
        return []
    unsettled = reduce(and_, (pc.field(column).is_null() for column in SETTLED))
    rows: list[dict[str, Any]] = lake.read(name, columns, unsettled).to_pylist()
    return rows


def append_refused(
    lake: Lake, table_name: str, refused: Sequence[Mapping[str, Any]], marks: Mapping[str, int]
) -> None:
    """Append refused rows, unless a killed attempt has: then the quarantine has these marks."""
    name = quarantine_name(table_name)
    if refused and lake.marks(name, marks) != marks:
        _append(lake, name, refused, marks)


def add_refused(lake: Lake, table_name: str, refused: Sequence[Mapping[str, Any]]) -> None:
    """Append refused rows, but for those that the quarantine holds."""
    if missing := not_held(lake, table_name, refused):
        _append(lake, quarantine_name(table_name), missing, {})


def not_held(
    lake: Lake, table_name: str, refused: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Of refused rows those that the quarantine has not."""
    if not refused:
        return []
    named = [("position", "in", [row["position"] for row in refused])]
    held = {*lake.read(quarantine_name(table_name), ["position"], named)["position"].to_pylist()}
    return [row for row in refused if row["position"] not in held]


def _append(
    lake: Lake, name: str, refused: Sequence[Mapping[str, Any]], marks: Mapping[str, int]
) -> None:
    now = datetime.now(UTC)
    schema = pa.schema([*arrow_schema(QuarantinedRow), *TECHNICAL])
    rows = [{**row, "_quarantined_at": now} for row in refused]
    lake.append(name, pa.Table.from_pylist(rows, schema), marks)


def ensure_quarantine(lake: Lake, table_name: str) -> str:
    """Make the quarantine beside a table exist; its name."""
    name = quarantine_name(table_name)
    lake.ensure(name, pa.schema([*arrow_schema(QuarantinedRow), *TECHNICAL]))
    return name


def quarantine(runtime: Runtime, table_name: str, staged: str, superseded: Sequence[str]) -> int:
    """Put the refused rows of `staged` into the quarantine, each once; how many it holds then.

    Those that wait from earlier deliveries of the files in `superseded` are withdrawn.
    """
    lake, session = runtime.lake, runtime.session
    name = quarantine_name(table_name)
    refused = int(session.table(staged).where(REFUSED).count())
    seq = lake.next_seq(name)
    if refused:
        session.sql(
            f"merge into {name} q using (select * from {staged} where {REFUSED}) s "
            "on q.position = s._position when not matched then insert "
            f"(position, source, reasons, raw, _origin, _quarantined_at, {SEQUENCE}) values "
            f"(s._position, s._source, s.{REASONS}, s._raw, s._origin, current_timestamp(), {seq})"
        )
    if superseded:
        session.sql(
            f"merge into {name} q using (select _file, max(_delivery) as _current from {staged} "
            "where _delivery > 1 group by _file) s on q.source = s._file "
            "and cast(get_json_object(q._origin, '$._delivery') as bigint) < s._current "
            f"when matched and {WAITING} "
            f"then update set withdrawn_at = current_timestamp(), {SEQUENCE} = {seq}"
        )
    if refused or superseded:
        lake.record(name, {SEQUENCE: seq})
    if not refused:
        return 0
    held = session.sql(
        f"select count(*) as rows from {staged} where {REFUSED} "
        f"and _position in (select position from {name})"
    )
    return int(held.toArrow()["rows"][0].as_py())
