"""Extracts: states that come back, watermarks that cannot be trusted, keys written with blanks."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from worlds import Rewards

from aquifer.instants import micros
from aquifer.lake import Lake
from aquifer.runtime import Runtime
from assets.bronze.members import members as bronze_members
from assets.bronze.points_ledger import points_ledger as bronze_points
from assets.silver.members import members
from assets.silver.points_ledger import points_ledger
from resources.simulation.schedule import text

MONDAY = datetime(2011, 3, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SILVER = {"members": members, "points_ledger": points_ledger}
BRONZE = {"members": bronze_members, "points_ledger": bronze_points}


class Programme(Rewards):
    """A rewards database that is written by hand, taken into bronze and silver."""

    def extract(self, entity: str = "members", lake: Lake | None = None) -> int:
        """How many states and deletes were new."""
        return BRONZE[entity].advance(lake or self.lake, self.source).written

    def advance(self, entity: str = "members") -> int:
        extracted = self.extract(entity)
        advanced = SILVER[entity].advance(self.runtime)
        assert advanced.accounted
        assert not advanced.quarantined, advanced.reasons
        return extracted

    def statuses(self) -> dict[str, str | None]:
        """The status of each member in silver; none of a deleted one."""
        rows = self.lake.read("silver.members").to_pylist()
        return {row["member_id"]: None if row["_deleted"] else row["status"] for row in rows}


def member(key: str, recorded: str | None, status: str = "active") -> tuple[str, list]:
    sql = "insert or replace into members values (?, '17850', ?, '2011-01-05', ?)"
    return sql, [key, status, recorded]


def entry(key: str, recorded: str) -> tuple[str, list]:
    sql = "insert into points_ledger values (?, 'M1', 12, 'purchase', ?, ?)"
    return sql, [key, recorded, recorded]


def removal(key: str) -> tuple[str, list]:
    return "delete from members where member_id = ?", [key]


@pytest.fixture
def programme(tmp_path) -> Programme:
    return Programme(tmp_path)


def test_a_row_that_was_deleted_and_restored_as_it_was_is_live(programme):
    row = member("M1", text(MONDAY - HOUR))
    programme.write(MONDAY, row)
    programme.advance()
    programme.write(MONDAY + HOUR, removal("M1"))
    programme.advance()
    assert programme.statuses() == {"M1": None}
    programme.write(MONDAY + 2 * HOUR, row)
    assert programme.advance() == 1
    assert programme.statuses() == {"M1": "active"}
    assert programme.advance() == 0
    programme.write(MONDAY + 3 * HOUR, removal("M1"))
    programme.advance()
    assert programme.statuses() == {"M1": None}


def test_a_state_that_a_row_goes_back_to_is_its_latest_even_when_its_watermark_is_older(programme):
    first = member("M1", text(MONDAY - 2 * HOUR))
    second = member("M1", text(MONDAY), "closed")
    for turn, (state, status) in enumerate(
        [(first, "active"), (second, "closed"), (first, "active"), (second, "closed")]
    ):
        programme.write(MONDAY + turn * HOUR, state)
        assert programme.advance() == 1
        assert programme.statuses() == {"M1": status}
    assert programme.advance() == 0


def test_a_watermark_in_the_future_ends_neither_the_extraction_nor_the_row(programme):
    programme.write(
        MONDAY, member("M1", "2099-01-01 00:00:00"), member("M2", text(MONDAY - 9 * DAY))
    )
    programme.advance()
    programme.write(MONDAY + DAY, member("M3", text(MONDAY + HOUR)))
    assert programme.advance() == 1
    programme.write(MONDAY + 9 * DAY, member("M4", text(MONDAY + 9 * DAY)))
    assert programme.advance() == 1
    assert programme.advance() == 0
    # Corrected in the source, to a time before that of the first extraction.
    programme.write(MONDAY + 10 * DAY, member("M1", text(MONDAY + 9 * DAY), "closed"))
    assert programme.advance() == 1
    assert programme.statuses() == {"M1": "closed", "M2": "active", "M3": "active", "M4": "active"}
    # What the source's clock has not reached is in its future, whatever the host's clock says.
    assert programme.lake.progress("bronze.members", "watermark") == micros(MONDAY + 9 * DAY)


@pytest.mark.parametrize("watermark", [None, "", "01/02/2011", "yesterday"])
def test_rows_whose_watermark_is_no_time_are_taken_in_at_once_and_change(
    programme, watermark, caplog
):
    programme.write(MONDAY, member("M1", watermark))
    with caplog.at_level(logging.WARNING, "aquifer.bronze"):
        assert programme.advance() == 1
    assert (
        "bronze.members: rows without a recorded_at that is a time of the past: 1, " in caplog.text
    )
    assert programme.advance() == 0
    programme.write(MONDAY + DAY, member("M2", text(MONDAY + DAY)))
    assert programme.advance() == 1
    programme.write(MONDAY + 9 * DAY, member("M3", watermark), member("M4", text(MONDAY + 9 * DAY)))
    assert programme.advance() == 2
    programme.write(MONDAY + 10 * DAY, member("M1", text(MONDAY + 10 * DAY), "closed"))
    assert programme.advance() == 1
    assert programme.statuses()["M1"] == "closed"
    programme.write(MONDAY + 20 * DAY, member("M5", text(MONDAY + 20 * DAY)))
    assert programme.advance() == 1
    programme.write(MONDAY + 20 * DAY, member("M1", watermark))
    assert programme.advance() == 1
    assert programme.advance() == 0
    assert programme.statuses() == {f"M{n}": "active" for n in range(1, 6)}


def test_rows_without_a_key_come_once(programme):
    # SQLite takes several nulls as a primary key.
    for n in range(2):
        programme.write(MONDAY, member(None, text(MONDAY - n * HOUR)))
    assert programme.extract() == 2
    assert programme.extract() == 0


@pytest.mark.parametrize("entity", ["members", "points_ledger"])
def test_a_key_with_blanks_around_it_is_not_found_deleted(programme, entity):
    write = member if entity == "members" else entry
    programme.write(MONDAY, write(" 1 ", text(MONDAY)))
    assert [programme.advance(entity) for _ in range(3)] == [1, 0, 0]
    (row,) = programme.lake.read(f"silver.{entity}").to_pylist()
    assert not row["_deleted"]


@dataclass(frozen=True)
class Overtaken(Lake):
    """A lake on which silver advances right after a reader took its rows."""

    others: Runtime | None = None

    def read(self, name: str, *args, **kwargs) -> pa.Table:
        rows = super().read(name, *args, **kwargs)
        if name == "silver.members":
            members.advance(self.others)
        return rows


def test_a_delete_that_silver_takes_in_meanwhile_is_not_found_again(programme):
    programme.write(MONDAY, member("M1", text(MONDAY - HOUR)))
    programme.advance()
    programme.write(MONDAY + HOUR, removal("M1"))
    assert programme.extract() == 1
    lake = programme.lake
    overtaken = Overtaken(lake.root, lake.leases, others=programme.runtime)
    assert programme.extract(lake=overtaken) == 0
    assert programme.statuses() == {"M1": None}
