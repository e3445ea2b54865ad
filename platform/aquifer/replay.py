"""Replay: refused rows taken in after all, once the contract or the rows were repaired.

Belongs here: from the quarantine back through the checks into the table. It needs no bronze, whose
rows are forgotten sooner. Does not: how rows come into the quarantine (`quarantine`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from dagster import AssetMaterialization, Config, JobDefinition, OpExecutionContext, job, op
from pydantic import Field

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.automation import RETRIES
from aquifer.conform import REASONS
from aquifer.contract import arrow_schema
from aquifer.engine import register
from aquifer.errors import SettingError, SourceError
from aquifer.lake import SEQUENCE, Lake
from aquifer.quarantine import WAITING, QuarantinedRow, ensure_quarantine, quarantine_name
from aquifer.runtime import Runtime
from aquifer.silver_table import SilverTable
from aquifer.specs import asset_key


@dataclass(frozen=True)
class Replay:
    """What became of the refused rows of a table."""

    table: str
    taken_in: int = 0
    refused: int = 0
    withdrawn: int = 0
    """Rows that stay in the quarantine because their source has withdrawn them since."""


def replay(table: SilverTable, runtime: Runtime, repairs: Mapping[str, str]) -> Replay:
    """Check the refused rows of a table again, and take in those that pass.

    The rows are merged before the quarantine says so: killed in between, the next replay merges
    them again, which changes nothing.

    Args:
        repairs: by position, raw records to take instead of those received.

    Raises:
        SourceError: a repair is of no refused row, or cannot be read.
    """
    lake = runtime.lake
    quarantine = quarantine_name(table.name)
    with lake.lease([table.name, quarantine]), runtime.staging() as place:
        waiting = _waiting(table, runtime, repairs)
        received = table.reads.restored(lake, waiting)
        if not len(received):
            return Replay(table.name, withdrawn=len(waiting))
        table.ensure(lake)
        table.register(runtime)
        verdicts = table.take_in_again(runtime, place, received)
        _settle(lake, quarantine, verdicts, repairs)
    taken_in = sum(not verdict[REASONS] for verdict in verdicts)
    return Replay(
        table.name, taken_in, len(verdicts) - taken_in, withdrawn=len(waiting) - len(verdicts)
    )


def read_repairs(path: Path) -> dict[str, str]:
    """The repairs of a JSON file: an array of objects with `position` and `raw`.

    `aquifer query` prints such a file; `raw` may be a text or a JSON object.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        raws = {str(row["position"]): row["raw"] for row in rows}
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SettingError(
            f"{path} is no JSON array of objects with 'position' and 'raw'; export one by "
            "`aquifer query --format json`"
        ) from error
    return {
        position: raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
        for position, raw in raws.items()
    }


def _waiting(
    table: SilverTable, runtime: Runtime, repairs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The rows that are refused still, with the latest repair of each as their raw record.

    A repair may be of a row that was withdrawn meanwhile.
    """
    quarantine = ensure_quarantine(runtime.lake, table.name)
    register(runtime.session, runtime.lake, [quarantine])
    # Rows of a batch that a killed run has not merged come in with it: merged before, they would
    # be withdrawn as rows of the delivery that their own supersedes.
    merged = runtime.lake.progress(table.name, table.reads.name)
    rows = runtime.session.sql(
        f"select position, raw, repaired, _origin, {WAITING} as waiting from {quarantine} "
        "where replayed_at is null "
        f"and cast(get_json_object(_origin, '$.{SEQUENCE}') as bigint) <= {merged}"
    )
    refused = {
        row["position"]: row
        for row in rows.toArrow().to_pylist()
        if row["waiting"] or row["position"] in repairs
    }
    if unknown := sorted(repairs.keys() - refused.keys()):
        raise SourceError(
            f"{quarantine} holds no refused row {unknown[0]}; see its positions, and advance "
            f"{table.name} first if its last run was killed"
        )
    return [
        row | {"raw": repairs.get(position) or row["repaired"] or row["raw"]}
        for position, row in sorted(refused.items())
    ]


def _settle(
    lake: Lake, quarantine: str, verdicts: Sequence[Mapping[str, Any]], repairs: Mapping[str, str]
) -> None:
    seq = lake.next_seq(quarantine)
    now = datetime.now(UTC)
    contract = arrow_schema(QuarantinedRow)
    names = ["position", "reasons", "repaired", "replayed_at"]
    schema = pa.schema([contract.field(name) for name in names])
    rows = [
        {
            "position": verdict["_position"],
            "reasons": verdict[REASONS],
            "repaired": repairs.get(verdict["_position"]),
            "replayed_at": None if verdict[REASONS] else now,
        }
        for verdict in verdicts
    ]
    lake.table(quarantine).merge(
        pa.Table.from_pylist(rows, schema), "q.position = s.position", "s", "q"
    ).when_matched_update(
        {
            # What a row was refused for stays to be seen when it is taken in.
            "reasons": "case when s.replayed_at is null then s.reasons else q.reasons end",
            "repaired": "coalesce(s.repaired, q.repaired)",
            "replayed_at": "s.replayed_at",
            SEQUENCE: str(seq),
        }
    ).execute()
    lake.record(quarantine, {SEQUENCE: seq})


class ReplayConfig(Config):
    """What is replayed."""

    table: str = Field(description="The silver table whose refused rows are checked again.")
    repairs: str | None = Field(
        default=None,
        description="Path of a JSON file with repaired rows: an array of {position, raw}.",
    )


def replay_job(tables: Sequence[SilverTable]) -> JobDefinition:
    """The job that replays the quarantine of a table."""
    by_name = {table.name: table for table in tables}

    @op(required_resource_keys={"lake", "engine", "schemas"}, retry_policy=RETRIES)
    def replay_refused_rows(context: OpExecutionContext, config: ReplayConfig) -> None:
        with permanent_errors_fail_at_once():
            if config.table not in by_name:
                raise SettingError(
                    f"there is no silver table {config.table}; use one of {', '.join(by_name)}"
                )
            lake: Lake = context.resources.lake.lake
            session, schemas = context.resources.engine.spark_session, context.resources.schemas
            runtime = Runtime(session, lake, schemas)
            repairs = read_repairs(Path(config.repairs)) if config.repairs else {}
            done = replay(by_name[config.table], runtime, repairs)
        counts = {
            "rows replayed": done.taken_in,
            "rows still refused": done.refused,
            "rows withdrawn since": done.withdrawn,
        }
        for name in (done.table, quarantine_name(done.table)) if done.taken_in else ():
            version = lake.version(name)
            context.log_event(
                AssetMaterialization(
                    asset_key(name),
                    metadata={**counts, "version written": version},
                    tags={"dagster/data_version": str(version)},
                )
            )
        context.add_output_metadata(counts)

    @job(description="Checks refused rows again, and takes in those that pass.")
    def replay_quarantine() -> None:
        replay_refused_rows()

    return replay_quarantine
