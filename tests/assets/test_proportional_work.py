"""Work is proportional to the change: files that a new day does not touch are not read."""

import gzip
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import invoice_files
from worlds import DIMENSIONS, SALES, Invoices

MONTHS = ["2010-11", "2010-12", "2011-01"]
LAST = MONTHS[-1]


class Months(Invoices):
    """A world with some real days of several months, up to gold."""

    files = invoice_files()[:4]

    def moved(self, month: str, number: int) -> None:
        """Land a real file with its days moved to a month."""
        source = self.files[number]
        opened = gzip.open if source.suffix == ".gz" else open
        with opened(source, "rt", encoding="utf-8") as lines:
            text = re.sub(r"\b20\d\d-\d\d-(\d\d \d\d:)", rf"{month}-\1", lines.read())
        self.land(f"{month}-{number}.csv", text)

    def data_files(self, name: str, *, but: Iterable[str] = ()) -> list[Path]:
        """The data files of a table, but for those whose path holds one of the texts."""
        paths = [Path(uri.removeprefix("file://")) for uri in self.lake.table(name).file_uris()]
        return [path for path in paths if not any(text in str(path) for text in but)]


@contextmanager
def gone(files: list[Path]) -> Iterator[None]:
    """The files are not where their table says: whoever reads one fails."""
    assert files
    for file in files:
        file.rename(file.with_suffix(".gone"))
    yield
    for file in files:
        file.with_suffix(".gone").rename(file)


@pytest.fixture(scope="module")
def months(tmp_path_factory) -> Months:
    months = Months(tmp_path_factory.mktemp("months"))
    for month in MONTHS:
        for number in (0, 1):
            months.moved(month, number)
    assert months.take_in().accounted
    assert months.build(*DIMENSIONS, *SALES) == []
    return months


def test_a_new_day_reads_only_its_own_rows_and_its_month(months):
    earlier = months.data_files("bronze.invoice_lines")
    months.moved(LAST, 2)
    with gone([*earlier, *months.data_files("silver.invoice_lines", but=[f"_month={LAST}"])]):
        with pytest.raises(Exception, match=r"(?i)not found|no such file"):
            months.lake.read("silver.invoice_lines")
        assert months.take_in().accounted
    assert months.build(*DIMENSIONS) == []
    with gone(
        [
            *months.data_files("silver.invoice_lines", but=[f"_month={LAST}"]),
            *months.data_files("gold.fct_sales", but=[f"_month={LAST}"]),
        ]
    ):
        assert months.build(*SALES) == []
    incremental = months.content(*SALES)
    assert months.build(*SALES, full_refresh=True) == []
    assert months.content(*SALES) == incremental


def test_a_line_that_gold_has_lost_is_noticed_until_it_is_back(months):
    lost = months.lake.read("gold.fct_sales", ["sale_line_id"], [("_month", "=", LAST)])
    months.lake.table("gold.fct_sales").delete(f"sale_line_id = '{lost['sale_line_id'][0]}'")
    months.moved(LAST, 3)
    assert months.take_in().accounted
    for _ in range(2):
        (failed,) = months.build(*DIMENSIONS, *SALES)
        assert failed.startswith("fct_sales_reconciles_with_silver: ")
    assert months.build(*DIMENSIONS, *SALES, full_refresh=True) == []
