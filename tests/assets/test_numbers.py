"""The numbers of every delivered file, recomputed from the files by other means."""

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from decimal import Decimal

import pytest
from conftest import Home, invoice_files

FILES = invoice_files()


def line_type(number: str, code: str, quantity: int, price: Decimal) -> str:
    if number.startswith("A"):
        return "adjustment"
    if not re.fullmatch(r"[0-9]{5}[A-Z]{0,2}", code):
        return "service"
    if number.startswith("C"):
        return "return"
    if quantity < 0:
        return "write_off"
    return "free" if price == 0 else "sale"


@pytest.fixture(scope="module")
def expected() -> dict:
    """Lines and net by line type, and duplicates, by the definitions."""
    seen, lines, net = set(), Counter(), defaultdict(Decimal)
    duplicates = rows = 0
    for file in FILES:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8-sig")
        for row in csv.DictReader(io.StringIO(text, newline="")):
            rows += 1
            values = tuple(row.values())
            if values in seen:
                duplicates += 1
                continue
            seen.add(values)
            quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
            kind = line_type(row["InvoiceNo"], row["StockCode"].strip().upper(), quantity, price)
            lines[kind] += 1
            net[kind] += quantity * price
    return {"rows": rows, "duplicates": duplicates, "lines": dict(lines), "net": dict(net)}


@pytest.fixture(scope="module")
def home(nursery, homes) -> Home:
    home = homes("all_files")
    assert nursery.work(home, [FILES]) == 0
    return home


def test_every_row_is_received(home, expected):
    assert home.rows("select count(*) as n from bronze.invoice_lines where _row > 0") == [
        {"n": expected["rows"]}
    ]


def test_lines_are_classified_and_equal_lines_are_one(home, expected):
    found = home.rows("select line_type, count(*) as n from silver.invoice_lines group by all")
    assert {row["line_type"]: row["n"] for row in found} == expected["lines"]
    kept = sum(expected["lines"].values())
    assert expected["rows"] == kept + expected["duplicates"]


def test_no_penny_is_lost_on_the_way_to_gold(home, expected):
    for table, types in (
        ("silver.invoice_lines", expected["net"].keys()),
        ("gold.fct_sales", {"sale", "return"}),
    ):
        found = home.rows(f"select line_type, sum(net_amount) as net from {table} group by all")
        assert {row["line_type"]: row["net"] for row in found} == {
            kind: expected["net"][kind] for kind in types
        }


def test_the_marts_add_up_to_the_facts(home, expected):
    revenue = expected["net"]["sale"] + expected["net"]["return"]
    for mart in ("daily_sales", "hourly_metrics", "product_performance"):
        assert home.rows(f"select sum(revenue) as net from gold.{mart}") == [{"net": revenue}]


def test_each_fact_points_at_the_version_of_its_time(home):
    wrong = home.rows(
        "select count(*) as n from gold.fct_sales f left join gold.dim_customer c "
        "on f.customer_key = c.customer_key and f.sold_at >= c.valid_from "
        "and f.sold_at < c.valid_to and c.customer_id = coalesce(f.customer_id, 'unknown') "
        "where c.customer_key is null"
    )
    assert wrong == [{"n": 0}]


def test_revenue_in_euro_takes_the_latest_rate_on_or_before_the_day(home):
    wrong = home.rows(
        "select count(*) as n from gold.daily_sales d where d.eur_rate is distinct from "
        "(select arg_max(rate, rated_on) from silver.exchange_rates r "
        "where r.currency = 'EUR' and r.rated_on <= d.day)"
    )
    assert wrong == [{"n": 0}]


def test_stock_on_hand_is_what_has_moved_until_the_end_of_the_day(home):
    wrong = home.rows(
        "select count(*) as n from gold.fct_inventory i where on_hand <> "
        "(select sum(quantity) from silver.stock_movements m where m.store_id = i.store_id "
        "and m.sku = i.stock_code and m.moved_at < i.day + interval 1 day) "
        "and i.day in (select distinct day from gold.fct_inventory order by day limit 3)"
    )
    assert wrong == [{"n": 0}]
    assert home.rows("select count(*) > 0 as some from gold.fct_inventory") == [{"some": True}]
