"""More invoices: those of several shops, as valid and as dirty as the real ones."""

import csv
import gzip
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from conftest import PROJECT
from worlds import Invoices

from aquifer.advance import Advance

TIMES, DAYS = 3, 4


def generate(folder: Path, times: int, days: int, seed: int = 17) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            *(sys.executable, "benchmarks/more_invoices.py", folder, "--times", str(times)),
            *("--days", str(days), "--seed", str(seed)),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )


def days_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The lines of each day."""
    found = {}
    for path in sorted(folder.glob("*.csv*"))[:DAYS]:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            found[path.name.removesuffix(".gz")] = list(csv.DictReader(file))
    return found


@pytest.fixture(scope="module")
def more(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("more") / "days"
    done = generate(folder, TIMES, DAYS)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """Once the invoices: what the shops repeat."""
    folder = tmp_path_factory.mktemp("real") / "days"
    assert generate(folder, 1, DAYS).returncode == 0
    return folder


def taken_in(folder: Path, files: Path) -> Advance:
    world = Invoices(folder)
    for file in sorted(files.iterdir()):
        world.land(file.name, *file.read_text(encoding="utf-8").splitlines())
    return world.take_in()


def test_the_same_seed_writes_the_same_bytes(more, tmp_path):
    generate(tmp_path / "again", TIMES, DAYS)
    generate(tmp_path / "other", TIMES, DAYS, seed=18)
    for file in more.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
        assert (tmp_path / "other" / file.name).read_bytes() != file.read_bytes()


def test_silver_keeps_and_refuses_the_same_share(more, real, tmp_path):
    many, few = taken_in(tmp_path / "many", more), taken_in(tmp_path / "few", real)
    assert many.accounted
    assert many.rows_in == TIMES * few.rows_in
    assert (many.kept, many.quarantined, many.duplicates) == tuple(
        TIMES * count for count in (few.kept, few.quarantined, few.duplicates)
    )


def test_each_shop_has_invoices_and_customers_of_its_own(more, real):
    for day, lines in days_of(more).items():
        assert {line["InvoiceDate"][:10] for line in lines} == {day.removesuffix(".csv")}
        for column in ("InvoiceNo", "CustomerID"):
            values = {line[column] for line in lines} - {""}
            assert len(values) == TIMES * len({r[column] for r in days_of(real)[day]} - {""})
        assert all(re.fullmatch("[AC]?[0-9]{6}", line["InvoiceNo"]) for line in lines)
    products = [
        {line["StockCode"] for lines in days_of(folder).values() for line in lines}
        for folder in (more, real)
    ]
    assert 1 < len(products[0]) / len(products[1]) < 1.1


def test_as_much_comes_back_to_those_who_bought_it(more, real):
    def returned_after_sale(folder: Path) -> int:
        """The lines of cancellations of which the customer has bought the product before."""
        bought: dict[tuple[str, str], str] = defaultdict(lambda: "9")
        lines = [line for day in days_of(folder).values() for line in day]
        for line in sorted(lines, key=lambda line: line["InvoiceDate"]):
            who = line["CustomerID"], line["StockCode"]
            if not line["InvoiceNo"].startswith("C"):
                bought[who] = min(bought[who], line["InvoiceDate"])
        return sum(
            line["InvoiceNo"].startswith("C")
            and bought[line["CustomerID"], line["StockCode"]] < line["InvoiceDate"]
            for line in lines
        )

    assert returned_after_sale(real) > 0
    assert returned_after_sale(more) == TIMES * returned_after_sale(real)


def test_what_a_line_says_beside_that_is_as_it_was(more, real):
    kept = ("Description", "Quantity", "UnitPrice", "Country")
    for day, lines in days_of(more).items():
        said = Counter(tuple(line[column] for column in kept) for line in lines)
        once = Counter(tuple(r[column] for column in kept) for r in days_of(real)[day])
        assert said == {line: TIMES * count for line, count in once.items()}


def test_more_invoices_than_six_digits_hold_are_refused(tmp_path):
    done = generate(tmp_path / "days", 676, 25)
    assert done.returncode == 1
    assert "six digits" in done.stderr
