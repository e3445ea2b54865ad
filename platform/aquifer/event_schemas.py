"""Event schemas: what the contracts say of the events of each topic, version by version.

Belongs here: the committed history of a topic's schemas, and which change of a contract it takes.
Does not: the schemas themselves (`avro_schema`, `json_schema`), the rules (`schema_compatibility`).

A version is a pair of files, `v1.avsc` and `v1.schema.json`, and never changes: whatever a contract
changes, its words included, is a new one. The rules look at Avro's half: what JSON Schema says
besides are checks, which refuse an event but do not make it unreadable.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aquifer.avro_schema import avro_schema
from aquifer.contract import Contract
from aquifer.errors import ContractError, SettingError
from aquifer.json_schema import json_schema
from aquifer.schema_compatibility import incompatibilities
from aquifer.silver_events import EventTable


@dataclass(frozen=True)
class Version:
    """A version of the schema of a topic's events, in both formats."""

    avro: dict[str, Any]
    json: dict[str, Any]


def of_contract(contract: type[Contract]) -> Version:
    """The version that a contract stands for."""
    return Version(avro_schema(contract), json_schema(contract))


def history(folder: Path) -> list[Version]:
    """The committed versions of a topic's schema, the oldest first."""
    versions: list[Version] = []
    while (avro := _avro(folder, len(versions) + 1)).exists():
        versions.append(Version(_read(avro), _read(_json(folder, len(versions) + 1))))
    return versions


def bring_up_to_date(tables: Iterable[EventTable], folder: Path, *, check: bool) -> None:
    """Append to the history of each table's topic what its contract has changed.

    Args:
        folder: where each topic has a folder.
        check: only say whether the histories are up to date.

    Raises:
        ContractError: a change breaks the topic's rule.
        SettingError: a history is not up to date, and `check` forbids to append to it.
    """
    for table in tables:
        _append(table, folder / table.reads.topic, check)


def _append(table: EventTable, folder: Path, check: bool) -> None:
    current, versions = of_contract(table.contract), history(folder)
    if versions and versions[-1] == current:
        return
    topic = table.reads
    for number, version in enumerate(versions, start=1):
        broken = list(incompatibilities(current.avro, version.avro, topic.compatibility))
        if broken:
            raise ContractError(
                f"{table.contract.__name__} breaks '{topic.compatibility}', the rule of "
                f"{topic.topic}, against v{number}: {'; '.join(broken)}. Change it otherwise, such "
                "as by a new field with `| None`, or give its events another topic"
            )
    if check:
        raise SettingError(
            f"the schemas of {topic.topic} are not current; run `aquifer event-schemas`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    number = len(versions) + 1
    # The one that makes it a version is written last.
    _write(_json(folder, number), current.json)
    _write(_avro(folder, number), current.avro)


def _avro(folder: Path, number: int) -> Path:
    return folder / f"v{number}.avsc"


def _json(folder: Path, number: int) -> Path:
    return folder / f"v{number}.schema.json"


def _read(path: Path) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _write(path: Path, schema: dict[str, Any]) -> None:
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
