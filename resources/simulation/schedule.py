"""The schedule: what will happen in a database, and playing it up to a simulated instant.

A step of an entity's life waits in the database itself until its time has come, so that a
simulation killed at any instant goes on as if nothing had happened.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aquifer.instants import instant, micros

TABLES = """
create table if not exists schedule (
    visible_us integer not null, entity text not null, n integer not null, ts_us integer not null,
    op text not null, target text not null, row text not null, primary key (visible_us, entity, n)
) without rowid;
create table if not exists known (entity text primary key) without rowid;
"""


@dataclass(frozen=True)
class Step:
    """One write of an entity's life: `op` is insert, update or delete; `row` begins with the key.

    A step becomes visible `delay` after its time: a transaction that commits late.
    """

    at: datetime
    op: str
    table: str
    row: dict[str, Any]
    delay: timedelta = timedelta(0)


def text(at: datetime) -> str:
    """An instant as the databases write it."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def unknown(connection: sqlite3.Connection, entities: Iterable[str]) -> list[str]:
    """Those entities that are not known yet."""
    rows = connection.execute(
        "select value from json_each(?) where not exists "
        "(select 1 from known where entity = value)",
        (json.dumps(list(entities)),),
    )
    return [entity for (entity,) in rows]


def remember(connection: sqlite3.Connection, entities: Iterable[str]) -> None:
    """Count entities as known from now on."""
    connection.executemany("insert into known values (?)", [(entity,) for entity in entities])


def enrol(connection: sqlite3.Connection, lives: Mapping[str, Iterable[Step]]) -> None:
    """Put the lives of entities on the schedule; they are known from now on."""
    remember(connection, lives)
    connection.executemany(
        "insert into schedule values (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                micros(step.at + step.delay),
                entity,
                n,
                micros(step.at),
                step.op,
                step.table,
                json.dumps(step.row),
            )
            for entity, life in lives.items()
            for n, step in enumerate(life)
        ),
    )


def play(connection: sqlite3.Connection, now_us: int, stamp: str | None = None) -> int:
    """Write every step whose time has come, in order of time; how many.

    Args:
        now_us: the simulated present; the clock stands there afterwards and never goes back.
        stamp: a column that takes the time at which the database writes the row.
    """
    (before_us,) = connection.execute("select ts_us from clock").fetchone()
    now_us = max(now_us, before_us)
    due = connection.execute(
        "select visible_us, ts_us, op, target, row from schedule where visible_us <= ? "
        "order by visible_us, entity, n",
        (now_us,),
    )
    clock_us, played = before_us, 0
    # Read while others are written: there may be more than memory holds.
    for visible_us, ts_us, op, table, row in due:
        values = json.loads(row)
        if stamp and op != "delete":
            # What is written late because its entity was unknown is recorded when it is written.
            recorded = ts_us if visible_us > before_us else before_us
            values[stamp] = text(instant(recorded))
        if ts_us != clock_us:
            connection.execute("update clock set ts_us = ?", (ts_us,))
            clock_us = ts_us
        _write(connection, op, table, values)
        played += 1
    connection.execute("delete from schedule where visible_us <= ?", (now_us,))
    connection.execute("update clock set ts_us = ?", (now_us,))
    return played


def _write(connection: sqlite3.Connection, op: str, table: str, row: dict[str, Any]) -> None:
    key = next(iter(row))
    if op == "insert":
        marks = ", ".join("?" for _ in row)
        sql = f"insert into {table} ({', '.join(row)}) values ({marks})"
        connection.execute(sql, list(row.values()))
    elif op == "update":
        changes = ", ".join(f"{column} = ?" for column in row if column != key)
        values = [value for column, value in row.items() if column != key]
        connection.execute(f"update {table} set {changes} where {key} = ?", [*values, row[key]])
    else:
        connection.execute(f"delete from {table} where {key} = ?", (row[key],))
