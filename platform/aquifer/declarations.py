"""The words that a contract is written in: fields, keys, their metadata, and the table's.

Belongs here: what a person writes in a contract. Does not: what is read from it (`contract`).
`aquifer.contract` hands all of it on, so that a contract needs one import.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pandera.polars as pandera

from aquifer.errors import ContractError

ROW_CHECKS = (
    *("eq", "ne", "gt", "ge", "lt", "le", "in_range", "isin", "notin"),
    *("str_matches", "str_contains", "str_startswith", "str_endswith", "str_length"),
)
"""Pandera's checks that look at one row at a time, as `Field` takes them."""

_REFERENCE = re.compile(r"[a-z_]+\.[a-z_0-9]+\.[a-z_0-9]+")


def seconds(count: float) -> timedelta:
    """`count` seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """`count` minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """`count` hours."""
    return timedelta(hours=count)


def days(count: float) -> timedelta:
    """`count` days."""
    return timedelta(days=count)


@dataclass(frozen=True)
class TableMetadata:
    """What a contract says of the table as a whole.

    Attributes:
        owner: `team:<name>` or an e-mail address.
        grain: what one row is.
        fresh_within: the longest time that the table may go without a materialisation.
        partition_by: the Timestamp or Date column by whose month the table is partitioned.
        cluster_by: columns that queries filter on; maintenance sorts the files by them.
        rules: predicates over several columns, by name; Spark SQL that is not false for good rows.
        quarantine_share: the share of refused rows of a large batch above which it fails, 0 to 1.
        versions_of: the natural key, if the rows are its versions over time (SCD2).
    """

    owner: str
    grain: str
    fresh_within: timedelta
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    quarantine_share: float = 0.02
    versions_of: str | None = None


def table(
    *,
    owner: str = "",
    grain: str = "",
    fresh_within: timedelta = timedelta(0),
    partition_by: str | None = None,
    cluster_by: Iterable[str] = (),
    rules: Mapping[str, str] | None = None,
    quarantine_share: float = 0.02,
    versions_of: str | None = None,
) -> dict[str, Any]:
    """The value of `Config.metadata`; see `TableMetadata`.

    Owner, grain and fresh_within have to be given. The contract says so, as it can name itself.
    """
    return {
        "table": TableMetadata(
            owner,
            grain,
            fresh_within,
            partition_by,
            tuple(cluster_by),
            dict(rules or {}),
            quarantine_share,
            versions_of,
        )
    }


def pii(kind: str, *, mask: str | None = None) -> dict[str, str]:
    """Field metadata: personal data of this kind, shown as `mask` (default: as its kind is)."""
    return {"pii": kind, "mask": mask or kind}


def references(column: str) -> dict[str, str]:
    """Field metadata: a foreign key to `<layer>.<table>.<column>`."""
    if not _REFERENCE.fullmatch(column):
        raise ContractError(f"references('{column}'): write it as 'layer.table.column'")
    return {"references": column}


def glossary(term: str) -> dict[str, str]:
    """Field metadata: the business term that the column holds."""
    return {"glossary": term}


def Field(
    description: str = "",
    *,
    metadata: Mapping[str, str] | None = None,
    alias: str | None = None,
    **checks: Any,
) -> Any:
    """A column.

    Args:
        description: what it holds.
        metadata: `pii(...)`, `references(...)`, `glossary(...)`, joined by `|`.
        alias: its name in the table, where Python cannot use that as a name.
        checks: Pandera's, by name: `ge=0`, `isin=[...]`; see `ROW_CHECKS`.
    """
    known = {name: _argument(name, checks[name]) for name in ROW_CHECKS if name in checks}
    try:
        info = pandera.Field(
            description=description, metadata=dict(metadata or {}), alias=alias, **known
        )
    except (TypeError, ValueError, re.error) as error:
        raise ContractError(f"Field({_written(checks)}): {error}") from error
    # What is unknown stays on the field under its name, for the contract to refuse by name.
    info.checks += [pandera.Check(_never_run, name=name) for name in checks if name not in known]
    return info


def Key(description: str = "", *, metadata: Mapping[str, str] | None = None, **checks: Any) -> Any:
    """A column of the table's key, never null; takes what `Field` takes."""
    return Field(description, metadata={**(metadata or {}), "key": "true"}, **checks)


def _argument(check: str, value: Any) -> Any:
    # Pandera would take a tuple apart into arguments, and a set has no order to write it in.
    if check in {"isin", "notin"} and isinstance(value, tuple | set | frozenset):
        return list(value) if isinstance(value, tuple) else sorted(value)
    return value


def _written(checks: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in checks.items())


def _never_run(_: Any) -> bool:
    return False
