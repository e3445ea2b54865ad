"""Files delivered again: unchanged they change nothing, changed they supersede, down to gold."""

import gzip
import os
from pathlib import Path

import pytest
from conftest import invoice_files
from worlds import SALES, Invoices

from aquifer import silver
from aquifer.lake import Lake
from aquifer.landing import LandingFolder
from aquifer.lease import FileLeases
from assets.bronze.invoice_lines import invoice_lines as bronze_lines
from assets.silver.invoice_lines import invoice_lines

DAY = invoice_files()[0]
FILE = "2010-12-01.csv"


def text_of(file: Path) -> str:
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")


HEADER, *LINES = text_of(DAY).splitlines()


def test_what_waits_is_merged_in_batches_of_whole_commits(tmp_path_factory, monkeypatch):
    """What an engine holds of a batch must not grow with what waits."""
    first, second, third = LINES[:3]
    deliveries = [(FILE, first, second), ("2010-12-02.csv", third), (FILE, first)]
    one_by_one = Invoices(tmp_path_factory.mktemp("one_by_one"))
    for name, *lines in deliveries:
        one_by_one.land(name, HEADER, *lines)
        assert one_by_one.take_in().accounted
    at_once = Invoices(tmp_path_factory.mktemp("at_once"))
    for name, *lines in deliveries:
        at_once.land(name, HEADER, *lines)
        bronze_lines.advance(at_once.lake, at_once.landing)
    monkeypatch.setattr(silver, "ROWS_PER_BATCH", 2)
    done = invoice_lines.advance(at_once.runtime)
    assert (done.rows_in, done.kept, done.accounted) == (4, 4, True)
    history = at_once.lake.table(invoice_lines.name).history()
    assert [entry["operation"] for entry in history].count("MERGE") == 2
    assert at_once.content(invoice_lines.name) == one_by_one.content(invoice_lines.name)
    assert not invoice_lines.advance(at_once.runtime).rows_in


def test_the_current_delivery_of_a_file_is_what_holds_down_to_gold(tmp_path_factory):
    first, second, third = LINES[:3]
    *fields, _, customer, country = second.split(",")
    corrected = ",".join([*fields, "9.99", customer, country])
    world = Invoices(tmp_path_factory.mktemp("superseded"))
    world.deliver(FILE, HEADER, first, second, third)
    whole = world.content(*SALES)
    assert len(whole["gold.fct_sales"]) == 3
    # Delivered again unchanged.
    tables = ("bronze.invoice_lines", "silver.invoice_lines")
    versions = {name: world.lake.version(name) for name in tables}
    world.deliver(FILE, HEADER, first, second, third)
    assert {name: world.lake.version(name) for name in versions} == versions
    assert world.content(*SALES) == whole
    # With other content.
    world.deliver(FILE, HEADER, first, corrected)
    superseded = world.content(*SALES)
    assert len(superseded["gold.fct_sales"]) == 2
    # The withdrawn lines are marked, not lost.
    marked = [row["_deleted"] for row in world.rows("silver.invoice_lines")]
    assert sorted(marked) == [False, False, True, True]
    # Emptied, and as it was at first.
    world.deliver(FILE, HEADER)
    assert {name: len(rows) for name, rows in world.content(*SALES).items()} == dict.fromkeys(
        SALES, 0
    )
    world.deliver(FILE, HEADER, first, second, third)
    assert world.content(*SALES) == whole
    fresh = Invoices(tmp_path_factory.mktemp("only_the_second"))
    fresh.deliver(FILE, HEADER, first, corrected)
    assert fresh.content(*SALES) == superseded


@pytest.mark.parametrize("begun", [b"", b"\x1f"], ids=["nothing", "one byte"])
def test_a_compressed_file_of_which_next_to_nothing_has_arrived_waits(tmp_path, caplog, begun):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    landing = LandingFolder(tmp_path)
    file = tmp_path / "2010-12-01.csv.gz"

    def land(content: bytes) -> int:
        file.write_bytes(content)
        os.utime(file, (1_300_000_000, 1_300_000_000))
        return bronze_lines.advance(lake, landing).written

    whole = gzip.compress("\n".join([HEADER, LINES[0]]).encode())
    assert [land(whole), land(begun), land(whole)] == [1, 0, 0]
    assert "2010-12-01.csv.gz: the compressed content has not arrived" in caplog.text
    assert lake.read("bronze.invoice_lines").num_rows == 1
    # Of what is not compressed, nothing is a content.
    file.rename(file.with_suffix(""))
    file = file.with_suffix("")
    assert land(b"") == 1


def test_refused_rows_are_in_the_quarantine_with_every_reason_and_their_origin(tmp_path):
    bad = [
        "536999,85123A,X,six,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        "536999,85123A,X,6,yesterday,2.55,17850.0,United Kingdom",
        "536999,85123A,X,6,2010-12-01 08:26:00,2.55555,17850.0,United Kingdom",
        "536999,85123A,X,6,2010-12-01 08:26:00,-2.55,17850.0,United Kingdom",
        "no,85123A,X,6,2010-12-01 08:26:00,2.55,abc,",
    ]
    world = Invoices(tmp_path)
    for _ in range(2):
        world.land(FILE, HEADER, LINES[0], *bad)
        world.take_in()
    rows = sorted(world.rows("silver.invoice_lines_quarantine"), key=lambda row: row["position"])
    assert [row["position"] for row in rows] == [f"2010-12-01.csv#1#{n}" for n in range(2, 7)]
    reasons = [set(row["reasons"]) for row in rows]
    assert "quantity_unreadable" in reasons[0]
    assert "invoiced_at_unreadable" in reasons[1]
    assert "unit_price_unreadable" in reasons[2]
    assert reasons[3] == {"price_not_negative"}
    assert reasons[4] == {
        "invoice_no_str_matches",
        "customer_id_str_matches",
        "country_str_length",
    }
    assert '"Quantity":"six"' in rows[0]["raw"]
    assert len(world.rows("silver.invoice_lines")) == 1
