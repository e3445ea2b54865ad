"""The simulation: histories do not depend on what has landed, and a killed one goes on."""

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import PROJECT, invoice_files
from logs import events

from aquifer.delimited import read_delimited
from aquifer.landing import LandedFile, LandingFolder
from resources import order_database, rewards_database
from resources.order_database import OutboxEventLog
from resources.simulation.lives import registered_at
from resources.simulation.members import member_id
from resources.simulation.play import SKU, Simulation

DAYS = invoice_files()[:5]
DEADLINE_SECONDS = 30
SEED = 17

ADVANCE = """
import os, signal, sys, threading, time
from pathlib import Path
from aquifer.landing import LandingFolder
from resources.simulation.play import Simulation

landing, databases, watched, size = sys.argv[1:]
folder, watched = Path(databases), Path(databases, watched)

def kill_at_size():
    while not (watched.exists() and watched.stat().st_size > int(size)):
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGKILL)

files = list(LandingFolder(Path(landing)).files())
threading.Thread(target=kill_at_size, daemon=True).start()
Simulation(folder / "orders.db", folder / "rewards.db").advance(files)
"""
"""Advances the simulation and, as soon as a file has grown beyond a size, kills itself with -9."""


def landed(path: Path) -> LandedFile:
    content = path.read_bytes()
    name = path.name.removesuffix(".gz")
    return LandedFile(name, gzip.decompress(content) if name != path.name else content)


class Played:
    """Both databases in a folder, after the simulation was advanced by batches of files."""

    def __init__(self, folder: Path, batches: Iterable[Iterable[LandedFile]]) -> None:
        self.folder = folder
        self.simulation = Simulation(folder / "orders.db", folder / "rewards.db", SEED)
        self.writes = [self.simulation.advance(batch) for batch in batches]

    def histories(self) -> dict[tuple, list[tuple]]:
        """What happened to each row of the order database, in the order of the source's time."""
        log = OutboxEventLog(self.folder / "orders.db")
        histories: dict[tuple, list[tuple]] = {}
        for topic in log.topics():
            for event in events(log, topic):
                value = json.loads(event.value)
                step = (value["ts_us"], value["op"], str(value["before"]), str(value["after"]))
                histories.setdefault((topic, event.key), []).append(step)
        return histories

    def rows(self, database: str, table: str, columns: Sequence[str] = ("*",)) -> list[tuple]:
        with closing(sqlite3.connect(self.folder / f"{database}.db")) as connection:
            listed = ", ".join(f'"{c}"' if c != "*" else c for c in columns)
            return sorted(connection.execute(f"select {listed} from {table}"), key=repr)

    def rewards(self) -> dict[str, list[tuple]]:
        """The rewards tables, but for when the database recorded a row."""
        return {
            table: self.rows("rewards", table, [c for c in columns if c != "recorded_at"])
            for table, columns in rewards_database.TABLES.items()
        }

    def content(self) -> dict[str, list[tuple]]:
        """Every row of every table of both databases."""
        found = {}
        for database in ("orders", "rewards"):
            with closing(sqlite3.connect(self.folder / f"{database}.db")) as connection:
                names = connection.execute("select name from sqlite_master where type = 'table'")
                for (name,) in names.fetchall():
                    found[f"{database}.{name}"] = self.rows(database, name)
        return found


@pytest.fixture(scope="module")
def files() -> list[LandedFile]:
    return [landed(path) for path in DAYS]


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Callable[..., Played]:
    def play(*batches: Iterable[LandedFile]) -> Played:
        return Played(tmp_path_factory.mktemp("played"), batches)

    return play


@pytest.fixture(scope="module")
def at_once(play, files) -> Played:
    return play(files)


@pytest.fixture(scope="module")
def day_by_day(play, files) -> Played:
    return play(*([file] for file in files))


@pytest.fixture(scope="module")
def shuffled(play, files) -> Played:
    order = random.Random(7).sample(files, len(files))
    assert order != files
    return play(*([file] for file in order))


@pytest.mark.parametrize("other", ["day_by_day", "shuffled"])
def test_histories_do_not_depend_on_when_files_landed(request, at_once, other):
    played = request.getfixturevalue(other)
    expected = at_once.histories()
    found = played.histories()
    assert found.keys() == expected.keys()
    assert [key for key, history in found.items() if history != expected[key]] == []
    assert played.rewards() == at_once.rewards()
    for table in order_database.TABLES:
        assert played.rows("orders", table) == at_once.rows("orders", table)
    assert played.rows("rewards", "clock") == at_once.rows("rewards", "clock")


def test_changes_of_a_row_are_captured_in_the_order_of_their_time(shuffled):
    histories = shuffled.histories()
    assert [k for k, h in histories.items() if h != sorted(h, key=lambda step: step[0])] == []
    assert {step[1] for history in histories.values() for step in history} >= {"c", "u"}


def test_a_history_only_ever_grows(play, files, at_once):
    earlier, later = play(files[:2]).histories(), at_once.histories()
    assert all(later[key][: len(history)] == history for key, history in earlier.items())
    assert sum(map(len, later.values())) > sum(map(len, earlier.values()))


def test_every_kind_of_entity_has_rows(at_once):
    tables = [("orders", t) for t in order_database.TABLES]
    tables += [("rewards", t) for t in rewards_database.TABLES]
    assert [table for database, table in tables if not at_once.rows(database, table)] == []


def test_a_second_advance_over_the_same_files_changes_nothing(tmp_path, files):
    played = Played(tmp_path, [files[:1]])
    before = played.content()
    assert played.simulation.advance(files[:1]) == {"order_database": 0, "rewards_database": 0}
    assert played.content() == before


def test_a_file_is_let_go_before_the_next(tmp_path, files):
    held: list[weakref.ref] = []

    def one_by_one() -> Iterator[LandedFile]:
        for file in files:
            assert all(earlier() is None for earlier in held[:-1])
            copy = LandedFile(file.landed_as, file.content)
            held.append(weakref.ref(copy))
            yield copy
            del copy

    Simulation(tmp_path / "orders.db", tmp_path / "rewards.db").advance(one_by_one())
    assert len(held) == len(files)


def test_another_seed_tells_other_lives(tmp_path, files):
    lives = []
    for seed in (SEED, SEED, SEED + 1):
        folder = tmp_path / str(len(lives))
        Simulation(folder / "orders.db", folder / "rewards.db", seed).advance(files[:1])
        with closing(sqlite3.connect(folder / "orders.db")) as connection:
            lives.append(connection.execute("select value from outbox order by lsn").fetchall())
    assert lives[0] == lives[1] != lives[2]


def test_customers_and_products_are_those_of_the_invoices(at_once, files):
    columns = ["CustomerID", "StockCode", "InvoiceNo"]
    lines = [
        tuple((value or "").strip() for value in row.values())
        for file in files
        for row in read_delimited(file.content, file.name, columns).select(columns).to_pylist()
    ]
    customers = {customer.removesuffix(".0") for customer, *_ in lines} - {""}
    skus = {code.upper() for _, code, _ in lines if SKU.match(code.upper())}
    now = datetime.fromisoformat(DAYS[-1].name[:10]).replace(tzinfo=UTC) + timedelta(days=1)

    created = {key for topic, key in at_once.histories() if topic == "orders.customers"}
    signed_up = {c: registered_at(SEED, c) for c in customers}
    assert created == {c for c, at in signed_up.items() if at is not None and at <= now}
    assert 0.7 < len(created) / len(customers) < 1.0

    assert {sku for (sku,) in at_once.rows("orders", "products", ["sku"])} == skus
    members = {
        tuple(row) for row in at_once.rows("rewards", "members", ["member_id", "customer_id"])
    }
    assert members <= {(member_id(SEED, c), c) for c in customers}
    assert 0.4 < len(members) / len(customers) < 0.7

    orders = at_once.rows("orders", "orders", ["order_id", "customer_id"])
    assert {order_id[1:] for order_id, _ in orders} <= {number for *_, number in lines}
    assert {customer for _, customer in orders} <= created
    assert {sku for (sku,) in at_once.rows("orders", "order_lines", ["sku"])} <= skus


def test_a_customer_who_signs_up_later_appears_on_that_day(play, files):
    sample = play(files[:1])
    (now_us,) = sample.rows("orders", "clock")[0]
    assert all(step[0] <= now_us for history in sample.histories().values() for step in history)
    with closing(sqlite3.connect(sample.folder / "orders.db")) as connection:
        rows = connection.execute("select visible_us, entity from schedule where op = 'insert'")
        waiting = {entity: at for at, entity in rows if entity.startswith("customer/")}
    assert waiting
    entity, at_us = min(waiting.items(), key=lambda item: item[1])
    at = datetime.fromtimestamp(at_us / 1e6, UTC)
    header = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    line = f"599999,22139,X,1,{at:%Y-%m-%d} 09:00:00,1.00,,Spain\n".encode()
    sample.simulation.advance([LandedFile("later.csv", header + line)])
    history = sample.histories()["orders.customers", entity.removeprefix("customer/")]
    assert history[0][:2] == (at_us, "c")


def test_a_truncated_file_is_played_once_it_is_whole(play, files, at_once):
    whole = gzip.compress(files[1].content)
    broken = LandedFile(files[1].name, whole[: len(whole) // 2])
    played = play([files[0], broken], [files[0], LandedFile(files[1].name, whole), *files[2:]])
    assert played.histories() == at_once.histories()
    assert played.rewards() == at_once.rewards()


def test_files_without_rows_or_times_tell_nothing(play, files):
    header = files[0].content.splitlines()[0]
    useless = [
        LandedFile("empty.csv", b""),
        LandedFile("header.csv", header),
        LandedFile("columns.csv", b"A,B\n1,2\n"),
        LandedFile("times.csv", header + b"\n536365,22139,X,1,yesterday,1.00,17850,Spain\n"),
    ]
    played = play(useless)
    assert played.writes == [{"order_database": 0, "rewards_database": 0}]
    assert played.histories() == {}


@pytest.mark.parametrize(
    ("quantity", "at", "price"),
    [
        *((quantity, "2010-12-01 09:00:00", "1.00") for quantity in ("nan", "-inf", "9e99", "six")),
        *(("1", "2010-12-01 09:00:00", price) for price in ("nan", "inf", "9e999999", "")),
        *(("1", at, "1.00") for at in ("9999-12-31 09:00:00", "0001-01-01 00:00:00+10:00")),
    ],
)
def test_a_line_that_makes_no_sense_stops_nothing_and_is_no_order(tmp_path, quantity, at, price):
    lines = [
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        "536365,22139,X,1,2010-12-01 08:00:00,1.00,17850,Spain",
        *(f"{n},22139,X,{quantity},{at},{price},17850,Spain" for n in range(536400, 536440)),
    ]
    played = Played(tmp_path, [[LandedFile("2010-12-01.csv", "\n".join(lines).encode())]])
    assert played.rows("orders", "products", ["sku"]) == [("22139",)]
    assert played.rows("orders", "orders") == []


def test_a_customer_whose_number_is_written_with_zeros_is_one(tmp_path):
    lines = [
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        *(
            f"{n},22139,X,1,2010-12-01 08:00:00,1.00,{'00' * (n % 2)}17850,Spain"
            for n in range(536400, 536440)
        ),
    ]
    played = Played(tmp_path, [[LandedFile("2010-12-01.csv", "\n".join(lines).encode())]])
    assert {row[0] for row in played.rows("orders", "orders", ["customer_id"])} == {"17850"}


@pytest.fixture(scope="module")
def landing(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("landing")
    for path in DAYS:
        (folder / path.name).write_bytes(path.read_bytes())
        os.utime(folder / path.name, (1_300_000_000, 1_300_000_000))
    return folder


def killed(databases: Path, landing: Path, watched: str, size: int) -> None:
    """Advance the databases in a process that dies when the watched file exceeds the size."""
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "platform")])
    process = subprocess.run(
        [sys.executable, "-c", ADVANCE, str(landing), str(databases), watched, str(size)],
        env={**os.environ, "PYTHONPATH": paths},
        timeout=DEADLINE_SECONDS,
    )
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("watched", "size", "orders_written"),
    [
        ("orders.db", 0, False),
        ("orders.db-wal", 400_000, False),  # well inside the order database's transaction
        ("rewards.db", 0, False),
        ("orders.db", 100_000, True),  # what is committed, while the other is played
    ],
)
def test_killed_in_the_middle_it_goes_on_as_if_nothing_had_happened(
    tmp_path, landing, at_once, watched, size, orders_written
):
    killed(tmp_path, landing, watched, size)
    torn = Played(tmp_path, []).content()
    assert bool(torn.get("orders.outbox")) == orders_written
    assert not torn.get("rewards.members")
    assert Played(tmp_path, [LandingFolder(landing).files()]).content() == at_once.content()
