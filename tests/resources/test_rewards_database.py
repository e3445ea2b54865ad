"""The rewards database: late commits are not missed, repeats are one row, deletes are found."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from worlds import SILVER, Rewards

from aquifer.instants import micros
from assets import tables
from resources.rewards_database import TABLES
from resources.simulation.schedule import text

MONDAY = datetime(2011, 3, 7, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)
HOUR = timedelta(hours=1)


class Programme(Rewards):
    """A rewards database that is written by hand, and the bronze tables that extract it."""

    bronze: ClassVar = {t.entity: t for t in tables.bronze if t.resource == "rewards"}

    def extract(self) -> dict[str, tuple[int, int]]:
        """Extract every table; how many rows were new, and how many had come before."""
        advances = {name: table.advance(self.lake, self.source) for name, table in self.all()}
        return {name: (done.written, done.duplicates) for name, done in advances.items()}

    def all(self) -> list[tuple]:
        return sorted(self.bronze.items())

    def received(self, entity: str) -> list[tuple]:
        """The key and operation of each bronze row."""
        columns = [TABLES[entity][0], "_op"]
        rows = self.lake.read(f"bronze.{entity}", columns).to_pylist()
        return sorted(tuple(row.values()) for row in rows)


def member(identity: str, recorded: datetime, status: str = "active") -> tuple[str, list]:
    row = [f"M{identity}", identity, status, "2011-01-05", text(recorded)]
    return "insert or replace into members values (?, ?, ?, ?, ?)", row


def tier(identity: str, n: int, tier: str, recorded: datetime) -> tuple[str, list]:
    row = [f"M{identity}-{n}", f"M{identity}", tier, text(recorded), text(recorded)]
    return "insert into tier_history values (?, ?, ?, ?, ?)", row


def points(identity: str, recorded: datetime) -> tuple[str, list]:
    row = [f"P{identity}", "M1", 12, "purchase", text(recorded), text(recorded)]
    return "insert into points_ledger values (?, ?, ?, ?, ?, ?)", row


def removal(entity: str, key: str) -> tuple[str, list]:
    return f"delete from {entity} where {TABLES[entity][0]} = ?", [key]


@pytest.fixture
def programme(tmp_path) -> Programme:
    return Programme(tmp_path)


def test_rows_from_the_watermark_on_are_extracted_as_text(programme):
    programme.write(MONDAY, points("1", MONDAY - HOUR), points("2", MONDAY))
    whole = programme.source.extract("points_ledger", None)
    assert whole.column_names == list(TABLES["points_ledger"])
    assert whole.to_pylist()[0] == {
        "entry_id": "P1",
        "member_id": "M1",
        "points": "12",
        "reason": "purchase",
        "earned_at": "2011-03-06 23:00:00",
        "recorded_at": "2011-03-06 23:00:00",
    }

    def since(instant: datetime) -> list[str]:
        return programme.source.extract("points_ledger", instant)["entry_id"].to_pylist()

    assert since(MONDAY - HOUR) == ["P1", "P2"]
    assert since(MONDAY - HOUR + timedelta(microseconds=1)) == ["P2"]
    assert since(MONDAY + timedelta(microseconds=1)) == []
    assert programme.source.extract("members", None).num_rows == 0
    assert programme.source.now() == MONDAY
    assert sorted(programme.source.keys("points_ledger")) == ["P1", "P2"]


def test_a_late_commit_inside_the_overlap_is_not_missed(programme):
    programme.write(MONDAY, points("1", MONDAY))
    assert programme.extract()["points_ledger"] == (1, 0)
    overlap = programme.bronze["points_ledger"].overlap
    programme.write(
        TUESDAY,
        points("2", MONDAY),  # of the watermark's own instant
        points("3", MONDAY - overlap),
        points("4", MONDAY - overlap / 2),
    )
    assert programme.extract()["points_ledger"] == (3, 1)
    assert programme.received("points_ledger") == [(f"P{n}", "r") for n in range(1, 5)]


def test_a_late_commit_does_not_set_the_watermark_back(programme):
    programme.write(WEDNESDAY, points("1", WEDNESDAY))
    programme.extract()
    programme.write(WEDNESDAY, points("2", WEDNESDAY - HOUR))
    assert programme.extract()["points_ledger"] == (1, 1)
    assert programme.lake.progress("bronze.points_ledger", "watermark") == micros(WEDNESDAY)


def test_an_extraction_without_news_counts_the_rows_and_writes_nothing(programme):
    rows = [member("1", MONDAY), tier("1", 0, "bronze", MONDAY), points("1", MONDAY)]
    programme.write(MONDAY, *rows)
    assert programme.extract() == dict.fromkeys(TABLES, (1, 0))
    versions = {name: programme.lake.version(f"bronze.{name}") for name in TABLES}
    programme.write(TUESDAY)
    assert programme.extract() == dict.fromkeys(TABLES, (0, 1))
    assert {name: programme.lake.version(f"bronze.{name}") for name in TABLES} == versions


def test_a_row_is_news_when_one_of_its_columns_changed(programme):
    programme.write(MONDAY, member("1", MONDAY))
    programme.extract()
    # Of the same instant, as two commits of one tick are.
    programme.write(MONDAY, member("1", MONDAY, "closed"))
    assert programme.extract()["members"] == (1, 0)


def test_a_row_whose_watermark_is_no_time_is_extracted_each_time(programme):
    sql, row = points("1", MONDAY)
    programme.write(MONDAY, (sql, [*row[:-1], "01/02/2011"]), points("2", MONDAY))
    late = programme.source.extract("points_ledger", TUESDAY)
    assert late["entry_id"].to_pylist() == ["P1"]


class Story(Programme):
    """Three extractions, each taken into silver, with all that may happen in between."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write(
            MONDAY,
            *(member(n, MONDAY - HOUR) for n in "12"),
            *(tier(n, 0, "bronze", MONDAY - HOUR) for n in "12"),
            *(points(n, MONDAY - HOUR) for n in "12"),
        )
        self.advance()
        # Rows that bronze holds twice, as two extractions without memory would leave them.
        again = self.lake.read("bronze.points_ledger").drop_columns(["_seq"])
        self.lake.append("bronze.points_ledger", again, {})
        self.write(
            TUESDAY,
            member("1", TUESDAY - HOUR, "closed"),
            points("3", MONDAY - 2 * HOUR),
            removal("members", "M2"),
            removal("tier_history", "M2-0"),
            removal("points_ledger", "P2"),
        )
        self.extract()
        # Once more before silver has seen the deletes: they are not found a second time.
        self.extract()
        self.found = {name: self.received(name) for name in TABLES}
        self.take_in()
        self.after_deletes = {name: self.states(name) for name in TABLES}
        self.write(
            WEDNESDAY,
            member("2", WEDNESDAY - HOUR),
            tier("2", 1, "silver", WEDNESDAY - HOUR),
            points("2", WEDNESDAY - HOUR),
        )
        self.advance()

    def advance(self) -> None:
        self.extract()
        self.take_in()

    def take_in(self) -> None:
        for name in TABLES:
            advanced = SILVER[f"silver.{name}"].advance(self.runtime)
            assert advanced.accounted
            assert not advanced.quarantined, advanced.reasons

    def states(self, entity: str) -> dict[str, dict]:
        """Each key's row in silver."""
        rows = self.lake.read(f"silver.{entity}").to_pylist()
        states = {row[TABLES[entity][0]]: row for row in rows}
        assert len(states) == len(rows)
        return states


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Iterator[Story]:
    return Story(tmp_path_factory.mktemp("rewards"))


def test_deletes_are_found_once_by_comparing_keys(story):
    assert story.found == {
        "members": [("M1", "r"), ("M1", "r"), ("M2", "d"), ("M2", "r")],
        "tier_history": [("M1-0", "r"), ("M2-0", "d"), ("M2-0", "r")],
        "points_ledger": [*[("P1", "r")] * 2, ("P2", "d"), *[("P2", "r")] * 2, ("P3", "r")],
    }


@pytest.mark.parametrize(
    ("entity", "key"), [("members", "M2"), ("tier_history", "M2-0"), ("points_ledger", "P2")]
)
def test_a_deleted_row_is_deleted_in_silver_at_the_instant_of_the_extraction(story, entity, key):
    row = story.after_deletes[entity][key]
    assert row["_deleted"]
    assert row["_changed_at"] == TUESDAY
    others = {k: r["_deleted"] for k, r in story.after_deletes[entity].items() if k != key}
    assert set(others.values()) == {False}


@pytest.mark.parametrize(("entity", "key"), [("members", "M2"), ("tier_history", "M2-0")])
def test_a_deleted_row_keeps_its_values_and_says_when_it_went(story, entity, key):
    row = story.after_deletes[entity][key]
    assert row["deleted_at"] == TUESDAY
    assert row["member_id"] == "M2"
    kept = {"members": {"status": "active", "joined_on": date(2011, 1, 5)}}
    expected = kept.get(entity, {"tier": "bronze", "changed_at": MONDAY - HOUR})
    assert {name: row[name] for name in expected} == expected


def test_rows_extracted_twice_are_one_row_and_of_its_states_the_latest(story):
    closed = story.states("members")["M1"]
    assert (closed["status"], closed["_changed_at"]) == ("closed", TUESDAY - HOUR)
    assert sorted(story.states("points_ledger")) == ["P1", "P2", "P3"]
    assert story.states("points_ledger")["P1"]["_changed_at"] == MONDAY - HOUR


def test_a_row_that_comes_back_is_live_again(story):
    back = story.states("members")["M2"]
    assert (back["_deleted"], back["deleted_at"]) == (False, None)
    assert back["_changed_at"] == WEDNESDAY - HOUR
    assert not story.states("points_ledger")["P2"]["_deleted"]
    tiers = {key: row["_deleted"] for key, row in story.states("tier_history").items()}
    assert tiers == {"M1-0": False, "M2-0": True, "M2-1": False}
    assert story.received("members").count(("M2", "d")) == 1


def test_a_late_commit_reaches_silver(story):
    assert story.states("points_ledger")["P3"]["earned_at"] == MONDAY - 2 * HOUR
