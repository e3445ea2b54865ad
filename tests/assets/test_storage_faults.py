"""Faults of the storage below the tables: the platform goes on by itself, and no row is lost."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier

import chaos
import pyarrow as pa
import pytest
from conftest import Home, copy_of, start
from worlds import HEADER, Invoices

from aquifer.errors import SettingError
from aquifer.lake import NOTHING, SEQUENCE, Fenced, Lake
from aquifer.lease import FileLeases
from aquifer.maintenance import maintain_table
from aquifer.missing_files import MissingFile
from aquifer.repair import repair
from assets import tables
from assets.bronze.pos_events import pos_events as bronze_events
from assets.silver.pos_events import pos_events
from resources.event_log.embedded import EmbeddedEventLog

SEED = 20261120
EVENTS = 480
MORE = 160
DEADLINE_SECONDS = 240
STREAMED = (chaos.BRONZE, chaos.SILVER, chaos.QUARANTINE, chaos.GOLD)


@pytest.fixture(scope="module")
def more() -> list[chaos.Produced]:
    return chaos.history(SEED + 1, MORE)


@pytest.fixture(scope="module")
def drained(nursery, homes) -> Home:
    """A home into which events were drained in two turns, so that each table has commits."""
    home = homes("drained")
    events = chaos.history(SEED, EVENTS)
    for half in (events[: EVENTS // 2], events[EVENTS // 2 :]):
        chaos.produce(home.folder / "events", half)
        assert nursery.drain(home, commits_per_compaction=100) == 0
    return home


@pytest.fixture(scope="module")
def copied(drained, tmp_path_factory) -> Callable[[str], Home]:
    """Makes homes that are as the drained one."""
    return partial(copy_of, drained, tmp_path_factory)


@pytest.fixture(scope="module")
def with_more(nursery, copied, more) -> Home:
    """The drained home after more events: nothing disturbed it."""
    home = copied("with_more")
    chaos.take_in(nursery, home, more)
    return home


def log_of(home: Home, table: str) -> Path:
    return Path(home.lake.uri(table), "_delta_log")


def newest(home: Home, table: str, *, with_rows: bool = False) -> Path:
    """The newest commit of a table, or the newest that added rows."""
    commits = sorted(log_of(home, table).glob("*.json"), reverse=True)
    return next(c for c in commits if not with_rows or '"dataChange":true' in c.read_text())


def tear(commit: Path, *, keep: float = 0.0) -> None:
    content = commit.read_bytes()
    commit.write_bytes(content[: int(len(content) * keep)])


def command(home: Home, *arguments: str) -> tuple[str, str]:
    """What a command prints, and what it says on standard error."""
    out, said = start(*arguments, home=home.folder).communicate(timeout=DEADLINE_SECONDS)
    return out, said


@pytest.mark.parametrize("table", STREAMED)
def test_what_a_torn_commit_held_is_taken_in_again(nursery, copied, more, with_more, fault, table):
    """Others have taken it in before, later commits stand on it, and other rows come beside it."""
    home = copied("torn")
    tear(newest(home, table, with_rows=True))
    chaos.produce(home.folder / "events", more)
    with fault(f"torn commit of rows in the log of {table}"):
        assert nursery.drain(home) == 0
    assert home.differing(with_more, with_more.lake.names()) == []
    assert pos_events.standing(home.lake).lost == 0
    assert [name for name in home.lake.names() if home.lake.torn(name) != NOTHING] == [table]


def test_logs_whose_newest_commits_are_torn_go_on_before_them_and_say_so(
    copied, more, with_more, fault
):
    home = copied("all_torn")
    for table in home.lake.names():
        # One that is cut off no reader gets past; an empty one they take for a commit.
        tear(newest(home, table), keep=0.5 if table in STREAMED[::2] else 0.0)
    chaos.produce(home.folder / "events", more)
    with fault("torn newest commit in the log of every table"):
        _, said = command(home, "drain", "--idle-seconds", "0")
    assert home.differing(with_more, with_more.lake.names()) == []
    assert pos_events.standing(home.lake).lost == 0
    for table in STREAMED:
        assert said.count(f"{table}: a power failure tore version") == 1, said


def test_a_query_answers_from_the_version_before_a_torn_one_or_says_who_mends_it(copied, fault):
    home = copied("queried")
    commit = newest(home, chaos.SILVER, with_rows=True)
    rows = f"select count(*) as rows from {chaos.SILVER}"
    before = home.rows(f"{rows} version as of {int(commit.stem) - 1}")
    cut_off = newest(home, chaos.GOLD)
    tear(commit)
    tear(cut_off, keep=0.5)
    with fault("torn newest commit, seen by a query"):
        out, said = command(home, "query", rows, "--format", "json")
        _, unread = command(home, "query", f"select * from {chaos.GOLD}")
    assert not said
    assert json.loads(out) == before
    assert re.fullmatch(
        rf"aquifer: the log of {chaos.GOLD} cannot be read: .*`aquifer up`.*\n", unread
    )


def lacks(table: str, file: str = r"\S+\.parquet") -> str:
    return (
        f"{table} lacks its file {file}; restore it from a backup, or run `aquifer repair {table}`"
    )


def test_missing_files_are_named_and_their_rows_made_again(nursery, copied, more, with_more, fault):
    home = copied("missing")
    chaos.produce(home.folder / "events", more)
    with fault("missing data files of silver, its quarantine and gold, each repaired by a command"):
        for table in STREAMED[1:]:
            file = next(Path(home.lake.uri(table)).glob("**/part-*.parquet"))
            file.unlink()
            place = file.relative_to(home.lake.uri(table))
            with pytest.raises(MissingFile, match=lacks(table, str(place))):
                home.rows(f"select * from {table}")
            assert command(home, "repair", table) == (
                f"{table} goes on without {place}\nIts next run makes the rows again.\n",
                "",
            )
        assert nursery.drain(home) == 0
    assert home.differing(with_more, with_more.lake.names()) == []
    assert pos_events.standing(home.lake).lost == 0


def test_what_a_merged_table_and_its_quarantine_lack_is_merged_again(tmp_path):
    world = Invoices(tmp_path)
    line = "536365,85123A,HOLDER,{},2010-12-01 08:26:00,2.55,17850,United Kingdom"
    names = ("silver.invoice_lines", "silver.invoice_lines_quarantine")
    for day in (1, 2):
        world.land(f"{day}.csv", HEADER, line.format(day), line.format("none"))
        assert world.take_in().accounted
    whole = world.content(*names)
    for name in names:
        next(Path(world.lake.uri(name)).glob("**/part-*.parquet")).unlink()
        assert len(repair(world.lake, name, tables.silver, tables.gold)) == 1
    assert world.content(*names) != whole
    assert world.take_in().accounted
    assert world.content(*names) == whole


def test_commands_name_a_missing_file_in_one_line(copied, more, fault):
    home = copied("run")
    chaos.produce(home.folder / "events", more)
    for file in Path(home.lake.uri(chaos.GOLD)).glob("**/part-*.parquet"):
        file.unlink()
    with fault("missing data file, told by a query and by a run"):
        _, asked = command(home, "query", f"select * from {chaos.GOLD}")
        _, drained = command(home, "drain", "--idle-seconds", "0")
    assert re.fullmatch(f"aquifer: {lacks(chaos.GOLD)}\n", asked)
    assert "Traceback" not in drained
    assert [line for line in drained.splitlines() if re.search(lacks(chaos.GOLD), line)], drained
    with pytest.raises(SettingError, match=r"bronze.pos_events cannot be made again .* a backup"):
        repair(home.lake, chaos.BRONZE, tables.silver, tables.gold)


def test_of_two_writers_without_a_common_lease_one_is_fenced(tmp_path, fault):
    events = chaos.history(SEED, EVENTS)
    root, log = str(tmp_path / "lake"), tmp_path / "events"
    both = Barrier(2)

    def write(home: str) -> list[str]:
        """Take in each piece of the history at the same time as the other does."""
        lake, refused = Lake(root, FileLeases(tmp_path / home)), []
        with closing(EmbeddedEventLog(log)) as source:
            source.create_topic(bronze_events.topic)
            for begin in range(0, EVENTS, chaos.A_PIECE):
                if not both.wait(DEADLINE_SECONDS):
                    chaos.produce(log, events[begin : begin + chaos.A_PIECE])
                both.wait(DEADLINE_SECONDS)
                while bronze_events.lag(lake, source):
                    try:
                        bronze_events.advance(lake, source)
                    except Fenced as error:
                        refused.append(str(error))
        return refused

    with fault("two writers of one table without a common lease"), ThreadPoolExecutor(2) as pool:
        refused = [line for lines in pool.map(write, ("one", "other")) for line in lines]
    lake = Lake(root, FileLeases(tmp_path / "one"))
    rows = lake.read(chaos.BRONZE, ["_partition", "_offset"]).to_pylist()
    sent = [event for event in events if event.topic == "pos.events"]
    assert len({(row["_partition"], row["_offset"]) for row in rows}) == len(rows) == len(sent)
    assert refused
    assert all("\n" not in line and "AQUIFER_HOME" in line for line in refused)


def test_a_reader_that_began_before_compaction_and_vacuum_reads_its_version_to_the_end(
    copied, fault
):
    home = copied("read")
    home.lake.append(chaos.BRONZE, home.lake.read(chaos.BRONZE).drop_columns([SEQUENCE]), {})
    table = home.lake.table(chaos.BRONZE, home.lake.version(chaos.BRONZE))
    version, whole = table.version(), table.to_pyarrow_table()
    # Nothing is read ahead: the other files are opened when their turn comes.
    batches = table.to_pyarrow_dataset().to_batches(batch_readahead=0, fragment_readahead=0)
    with fault("compaction and VACUUM beside a reader"):
        first = next(batches)
        home.lake.compact(chaos.BRONZE)
        maintain_table(home.lake, chaos.BRONZE, (), 90)
        assert len(table.file_uris()) > len(home.lake.table(chaos.BRONZE).file_uris())
        read = pa.Table.from_batches([first, *batches])
    order = [(name, "ascending") for name in ("_partition", "_offset", SEQUENCE)]
    assert read.sort_by(order) == whole.sort_by(order)
    assert home.lake.version(chaos.BRONZE) > version
