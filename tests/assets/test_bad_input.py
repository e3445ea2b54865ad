"""Trouble from outside ends in one clear line, with nothing half-written."""

import gzip
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Home, dagster_instance, invoice_files, start
from worlds import HEADER

from aquifer.landing import LandingFolder
from assets.bronze.invoice_lines import invoice_lines

LINES = 300
GOOD = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"
REFUSED = "536365,85123A,HOLDER,six,2010-12-01 08:26:00,2.55,17850,United Kingdom"
DEADLINE_SECONDS = 300
LONG_AGO = (1_300_000_000, 1_300_000_000)


@dataclass
class Done:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def finish(process: subprocess.Popen) -> Done:
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return Done(process.returncode, out, err)


def kill_once(process: subprocess.Popen, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def runs(home: Path) -> list[tuple[str, str]]:
    """The runs in the Dagster instance of a home, oldest first: job and status."""
    with dagster_instance(home) as instance:
        return [(run.job_name, run.status.value) for run in reversed(instance.get_runs())]


def data(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        os.utime(folder / name, LONG_AGO)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    file = invoice_files()[0]
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    lines = "\n".join(text.splitlines()[: LINES + 1])
    return data(tmp_path_factory.mktemp("source") / "data", {"2010-12-01.csv": lines})


@dataclass
class Told:
    """Two homes that had trouble, and what the commands said of it."""

    crowded: Home
    at_once: list[Done]
    tight: Home
    full: Done
    tables_when_full: list[str]
    runs_when_killed: list[tuple[str, str]]
    again: Done
    differing: list[str]
    refused: Done
    sales_before: int


@pytest.fixture(scope="module")
def told(disk, homes, small) -> Told:
    """One pass through all troubles that need whole runs, side by side where they can be."""
    crowded, tight = homes("crowded"), Home(disk.folder / "home")
    demo = ["demo", "--data", str(small)]
    two = [start(*demo, home=crowded.folder) for _ in range(2)]
    filled = start(*demo, home=tight.folder)
    while filled.poll() is None:
        # In the middle of the run. It is filled again, since what a step removes is room.
        if tight.lake.exists("silver.stores"):
            disk.fill(filled)
        time.sleep(0.02)
    full = finish(filled)
    tables_when_full = tight.tables()
    disk.empty()
    at_once = [finish(process) for process in two]
    stores = tight.folder / "lake" / "gold" / "dim_store"
    kill_once(start(*demo, home=tight.folder), lambda: any(stores.glob("*.parquet")))
    runs_when_killed = runs(tight.folder)
    recovering = start(*demo, home=tight.folder)
    contents = {table: crowded.content(table) for table in crowded.tables()}
    bad = "\n".join([HEADER, *[REFUSED] * 1_200])
    batch = data(small.parent / "refused", {"2010-12-02.csv": bad, "narrow.csv": "StockCode\n1\n"})
    refused = finish(start("demo", "--data", str(batch), home=crowded.folder))
    again = finish(recovering)
    recovered = {name: tight.content(name) for name in tight.tables()}
    return Told(
        crowded,
        at_once,
        tight,
        full,
        tables_when_full,
        runs_when_killed,
        again,
        [
            name
            for name in sorted({*contents, *recovered})
            if recovered.get(name) != contents.get(name)
        ],
        refused,
        len(contents["gold.fct_sales"]),
    )


def test_of_two_demos_at_once_one_says_that_it_waits_and_both_finish(told):
    assert [done.code for done in told.at_once] == [0, 0], told.at_once
    assert sum("another command is at work in" in done.err for done in told.at_once) == 1


def test_a_full_disk_is_said_in_one_line(told):
    assert told.full.code == 1
    said = told.full.out + told.full.err
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if "make room" in line], said
    assert "silver.stores" in told.tables_when_full
    assert "gold.fct_sales" not in told.tables_when_full


def test_once_there_is_room_the_same_command_completes(told):
    assert told.again.code == 0, told.again


def test_a_demo_that_was_killed_in_gold_is_completed_by_the_next(told):
    assert told.runs_when_killed == [("main", "FAILURE"), ("main", "STARTED")]
    assert runs(told.tight.folder) == [
        ("main", "FAILURE"), ("main", "FAILURE"), ("main", "SUCCESS"), ("snapshots", "SUCCESS")
    ]  # fmt: skip


def test_neither_two_at_once_nor_a_full_disk_nor_a_kill_changes_what_comes_of_it(told):
    assert told.sales_before
    assert told.differing == []


def test_refused_batches_and_unreadable_files_are_told_and_stop_what_is_downstream(told):
    assert told.refused.code == 1
    failed = [line for line in told.refused.out.splitlines() if line.startswith("  failed: ")]
    unreadable, refused = failed
    assert unreadable.startswith("  failed: bronze.invoice_lines readable: narrow.csv: column")
    assert refused == (
        "  failed: silver.invoice_lines quarantine_share: "
        "100.0% of the newest batch is refused; the limit is 2.0%"
    )
    quarantined = told.crowded.rows("select reasons from silver.invoice_lines_quarantine")
    assert len(quarantined) == 1_200
    assert all("quantity_not_null" in row["reasons"] for row in quarantined)
    assert told.crowded.rows("select count(*) as n from gold.fct_sales") == [
        {"n": told.sales_before}
    ]


def test_each_file_that_cannot_be_read_is_named_and_the_others_are_taken_in(homes):
    home = homes("unreadable")
    landing = data(home.folder / "landing", {"good.csv": f"{HEADER}\n{GOOD}\n"})
    whole = gzip.compress(GOOD.encode() * 1_000, mtime=0)
    flipped = bytes(byte ^ 0xFF for byte in whole[20:40])
    for name, content in {
        "corrupt.csv.gz": whole[:20] + flipped + whole[40:],
        "image.csv": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        "narrow.csv": b"InvoiceNo,StockCode\n536365,85123A\n",
    }.items():
        (landing / name).write_bytes(content)
        os.utime(landing / name, LONG_AGO)
    said = invoice_lines.advance(home.lake, LandingFolder(landing)).unreadable
    assert [reason.partition(" (")[0].partition(";")[0] for reason in said] == [
        "corrupt.csv.gz: it is not valid gzip",
        "image.csv: it holds zero bytes, so it is no text",
        "narrow.csv: column Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country "
        "is missing",
    ]
    assert home.rows("select distinct _file as file from bronze.invoice_lines") == [
        {"file": "good.csv"}
    ]
