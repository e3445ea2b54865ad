"""Files delivered again: unchanged they change nothing, changed they supersede, down to gold."""

import gzip
import os
from pathlib import Path

import pytest
from conftest import Home, invoice_files

from aquifer.lake import Lake
from aquifer.landing import LandingFolder
from aquifer.lease import FileLeases
from assets.bronze.invoice_lines import invoice_lines as bronze_lines

DAY = invoice_files()[0]


def text_of(file: Path) -> str:
    content = file.read_bytes()
    return (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")


@pytest.fixture
def delivery(tmp_path):
    def make(number: int, lines: list[str]) -> Path:
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "2010-12-01.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.utime(path, (1_300_000_000 + number, 1_300_000_000 + number))
        return path

    return make


def sales(home: Home) -> list[tuple]:
    return home.content("gold.fct_sales")


def test_a_file_with_other_content_supersedes_down_to_gold(nursery, homes, delivery):
    header, *lines = text_of(DAY).splitlines()
    first, second, third = lines[0], lines[1], lines[2]
    priced = second.replace("2010-12-01", "2010-12-01", 1)
    changed = priced.rsplit(",", 3)
    changed[1] = "9.99"
    corrected = ",".join(changed)
    home, fresh = homes("superseded"), homes("only_the_second")
    before = delivery(1, [header, first, second, third])
    after = delivery(2, [header, first, corrected])
    assert nursery.work(home, [[before]]) == 0
    versions = {name: home.lake.version(name) for name in home.lake.names()}
    assert nursery.work(home, [[before]]) == 0
    unchanged = ["bronze.invoice_lines", "silver.invoice_lines"]
    assert {name: home.lake.version(name) for name in unchanged} == {
        name: versions[name] for name in unchanged
    }
    assert nursery.work(home, [[after]]) == 0
    assert nursery.work(fresh, [[after]]) == 0
    assert sales(home) == sales(fresh)
    assert len(sales(home)) == 2
    assert home.content("gold.daily_sales") == fresh.content("gold.daily_sales")
    assert home.content("gold.hourly_metrics") == fresh.content("gold.hourly_metrics")
    # The withdrawn lines are marked, not lost.
    marked = home.lake.read("silver.invoice_lines", ["_deleted"])["_deleted"].to_pylist()
    assert sorted(marked) == [False, False, True, True]


def test_an_emptied_file_withdraws_its_lines_and_a_return_brings_them_back(
    nursery, homes, delivery
):
    header, *lines = text_of(DAY).splitlines()
    home = homes("emptied")
    full = delivery(1, [header, *lines[:3]])
    assert nursery.work(home, [[full]]) == 0
    whole = sales(home)
    assert nursery.work(home, [[delivery(2, [header])]]) == 0
    assert sales(home) == []
    assert home.content("gold.daily_sales") == []
    assert nursery.work(home, [[full]]) == 0
    assert sales(home) == whole


@pytest.mark.parametrize("begun", [b"", b"\x1f"], ids=["nothing", "one byte"])
def test_a_compressed_file_of_which_next_to_nothing_has_arrived_waits(tmp_path, caplog, begun):
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    landing = LandingFolder(tmp_path)
    file = tmp_path / "2010-12-01.csv.gz"
    header, *lines = text_of(DAY).splitlines()

    def land(content: bytes) -> int:
        file.write_bytes(content)
        os.utime(file, (1_300_000_000, 1_300_000_000))
        return bronze_lines.advance(lake, landing).written

    whole = gzip.compress("\n".join([header, lines[0]]).encode())
    assert [land(whole), land(begun), land(whole)] == [1, 0, 0]
    assert "2010-12-01.csv.gz: the compressed content has not arrived" in caplog.text
    assert lake.read("bronze.invoice_lines").num_rows == 1
    # Of what is not compressed, nothing is a content.
    file.rename(file.with_suffix(""))
    file = file.with_suffix("")
    assert land(b"") == 1


def test_refused_rows_are_in_the_quarantine_with_every_reason_and_their_origin(
    nursery, homes, delivery
):
    header, good, *_ = text_of(DAY).splitlines()
    bad = [
        "536999,85123A,X,six,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        "536999,85123A,X,6,yesterday,2.55,17850.0,United Kingdom",
        "536999,85123A,X,6,2010-12-01 08:26:00,2.55555,17850.0,United Kingdom",
        "536999,85123A,X,6,2010-12-01 08:26:00,-2.55,17850.0,United Kingdom",
        "no,85123A,X,6,2010-12-01 08:26:00,2.55,abc,",
    ]
    home = homes("refused")
    file = delivery(1, [header, good, *bad])
    assert nursery.work(home, [[file], [file]]) == 0
    rows = home.rows("select * from silver.invoice_lines_quarantine order by position")
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
    assert len(home.content("silver.invoice_lines")) == 1
