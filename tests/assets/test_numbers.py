"""The numbers of every delivered file, recomputed from the files by other means."""

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from conftest import Home, invoice_files

FILES = invoice_files()
HALF_A_PLACE = Fraction(1, 20_000)
"""The most by which rounding to four places moves a number."""
GOODS = "(select * from silver.invoice_lines where line_type in ('sale', 'return'))"
SALES = "(select * from silver.invoice_lines where line_type = 'sale')"


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


def only_in_one(home: Home, found: str, expected: str) -> list[dict]:
    """Some rows that one of two queries gives and the other does not."""
    both = f"with found as materialized ({found}), expected as materialized ({expected}) "
    return home.rows(
        f"{both} (from (from found except all from expected) select 'found' as side, * limit 3) "
        "union all (from (from expected except all from found) select 'expected', * limit 3)"
    )


def valid(dimension: str, key: str, natural: str, at: str) -> str:
    """The key of the version that was valid at an instant, else that of the unknown member."""
    return (
        f"coalesce((select {dimension}_key from gold.dim_{dimension} v where v.{key} = {natural} "
        f"and v.valid_from <= {at} and {at} < v.valid_to), (select {dimension}_key "
        f"from gold.dim_{dimension} v where v.{key} = 'unknown'))"
    )


def rounded(dividend: str, divisor: str) -> str:
    """The quotient of two whole numbers, of which the first is not negative, to four places."""
    return f"((20000::hugeint * {dividend} + {divisor}) // (2 * {divisor}))"


def test_each_fact_points_at_the_members_and_versions_of_its_time(home):
    found = "select sale_line_id, customer_key, geography_key, product_key from gold.fct_sales"
    expected = (
        "select line_id, coalesce(c.customer_key, (select customer_key from gold.dim_customer "
        "where customer_id = 'unknown')), g.geography_key, p.product_key "
        f"from {GOODS} l left join gold.dim_customer c on c.customer_id = l.customer_id "
        "and c.valid_from <= l.invoiced_at and l.invoiced_at < c.valid_to "
        "left join gold.dim_geography g on g.country = l.country "
        "and g.valid_from <= l.invoiced_at and l.invoiced_at < g.valid_to "
        "left join gold.dim_product p on p.stock_code = l.stock_code"
    )
    assert only_in_one(home, found, expected) == []


def test_baskets_have_their_mean_and_their_exact_95th_percentile(home):
    baskets = defaultdict(list)
    for row in home.rows(
        "select date_trunc('hour', sold_at) as hour, country, sum(net_amount) as net "
        "from gold.fct_sales where line_type = 'sale' group by invoice_no, hour, country"
    ):
        baskets[row["hour"], row["country"]].append(Fraction(row["net"]))
    hours = home.rows("select * from gold.hourly_metrics")
    assert {(row["hour"], row["country"]) for row in hours} >= baskets.keys()
    for row in hours:
        values = sorted(baskets[row["hour"], row["country"]])
        assert row["invoices"] == len(values)
        if not values:
            assert (row["mean_basket"], row["p95_basket"]) == (None, None)
            continue
        place, part = divmod(95 * (len(values) - 1), 100)
        above = values[min(place + 1, len(values) - 1)]
        p95 = values[place] + (above - values[place]) * Fraction(part, 100)
        assert abs(Fraction(row["p95_basket"]) - p95) <= HALF_A_PLACE
        assert abs(Fraction(row["mean_basket"]) - sum(values) / len(values)) <= HALF_A_PLACE


def test_a_product_is_called_what_its_latest_described_sale_calls_it(home):
    found = (
        "select stock_code, description, category, list_price, cost from gold.dim_product "
        "where stock_code <> 'unknown'"
    )
    expected = (
        f"select coalesce(g.stock_code, p.sku), (select description from {SALES} s "
        "where s.stock_code = g.stock_code and description is not null "
        "order by invoiced_at desc, invoice_no desc, line_id desc limit 1), "
        f"category, list_price, cost from (select distinct stock_code from {GOODS}) g "
        "full join silver.products p on p.sku = g.stock_code"
    )
    assert only_in_one(home, found, expected) == []


def test_customers_at_a_glance_are_their_sales_and_returns(home):
    found = (
        "select customer_id, country, tier, first_sale_at, last_sale_at, recency_days, frequency, "
        "monetary, returned from gold.customer_360"
    )
    sale = "filter (where line_type = 'sale')"
    expected = (
        f"select l.customer_id, any_value(c.country), any_value(c.tier), min(invoiced_at) {sale}, "
        f"max(invoiced_at) {sale}, (select max(invoiced_at) from {SALES})::date - "
        f"(max(invoiced_at) {sale})::date, count(distinct invoice_no) {sale}, sum(net_amount), "
        f"coalesce(sum(net_amount) filter (where line_type = 'return'), 0) from {GOODS} l "
        "join gold.dim_customer c on c.customer_id = l.customer_id and c.is_current "
        f"group by l.customer_id having count(*) {sale} > 0"
    )
    assert only_in_one(home, found, expected) == []


def test_the_performance_of_a_product_is_its_sales_returns_and_cost(home):
    found = (
        "select stock_code, description, category, units_sold, units_returned, revenue, "
        "(return_rate * 10000)::hugeint, customers, margin, last_sold_at "
        "from gold.product_performance"
    )
    sums = (
        "select stock_code, coalesce(sum(quantity) filter (where line_type = 'sale'), 0) as sold, "
        "-coalesce(sum(quantity) filter (where line_type = 'return'), 0) as back, "
        "sum(net_amount) as revenue, count(distinct customer_id) as customers, "
        f"max(invoiced_at) filter (where line_type = 'sale') as last from {GOODS} group by all"
    )
    rate = rounded("back", "sold")
    expected = (
        "select s.stock_code, d.description, p.category, sold, back, revenue, "
        f"case when sold > 0 then {rate} end, customers, revenue - (sold - back) * p.cost, last "
        f"from ({sums}) s left join gold.dim_product d on d.stock_code = s.stock_code "
        "left join silver.products p on p.sku = s.stock_code"
    )
    assert only_in_one(home, found, expected) == []


def test_an_order_has_its_milestones_and_the_sum_of_its_lines(home):
    milestones = "placed_at, paid_at, shipped_at, delivered_at, cancelled_at"
    found = (
        f"select order_id, status, {milestones}, customer_key, store_key, date_key, lines, "
        "quantity, gross_amount, (hours_to_pay * 10000)::hugeint, "
        "(hours_to_ship * 10000)::hugeint, (hours_to_deliver * 10000)::hugeint "
        "from gold.fct_orders"
    )
    spans = [("placed_at", "paid_at"), ("paid_at", "shipped_at"), ("shipped_at", "delivered_at")]
    hours = [rounded(f"(epoch_us({b}) - epoch_us({a}))", "3600000000") for a, b in spans]
    expected = (
        f"select order_id, status, {milestones}, "
        f"{valid('customer', 'customer_id', 'o.customer_id', 'placed_at')}, "
        f"{valid('store', 'store_id', 'o.store_id', 'placed_at')}, "
        "strftime(placed_at, '%Y%m%d')::bigint, coalesce(n, 0), coalesce(pieces, 0), "
        f"coalesce(gross, 0), {', '.join(hours)} from silver.orders o left join "
        "(select order_id, count(*) as n, sum(quantity) as pieces, sum(quantity * unit_price) "
        "as gross from silver.order_lines group by all) using (order_id)"
    )
    assert only_in_one(home, found, expected) == []
    assert home.rows("select count(*) > 0 as some from gold.fct_orders") == [{"some": True}]


def test_the_calendar_is_that_of_iso(home):
    begin, end = date(2000, 1, 1), date(2051, 1, 1)
    days = [begin + timedelta(days=n) for n in range((end - begin).days)]
    rows = home.rows(
        "select date_key, day, year, quarter, month, week, weekday, is_weekend from gold.dim_date"
    )
    assert sorted(tuple(row.values()) for row in rows) == [
        (-1, *[None] * 7),
        *(
            (
                int(f"{day:%Y%m%d}"),
                day,
                day.year,
                (day.month + 2) // 3,
                day.month,
                day.isocalendar().week,
                day.isoweekday(),
                day.isoweekday() > 5,
            )
            for day in days
        ),
    ]


def test_a_day_of_a_country_is_its_lines_and_the_latest_rate_on_or_before(home):
    found = (
        "select day, country, channel, invoices, lines, units, gross_sales, returns, revenue, "
        "eur_rate, revenue_eur from gold.daily_sales"
    )
    sale, back = ("filter (where line_type = 'sale')", "filter (where line_type = 'return')")
    sums = (
        f"select invoiced_at::date as day, country, count(distinct invoice_no) {sale} as invoices, "
        f"count(*) as lines, sum(quantity) as units, coalesce(sum(net_amount) {sale}, 0) as sold, "
        f"coalesce(sum(net_amount) {back}, 0) as back, sum(net_amount)::decimal(18, 4) as net "
        f"from {GOODS} group by all"
    )
    rate = (
        "select arg_max(rate, rated_on) from silver.exchange_rates r "
        "where r.currency = 'EUR' and r.rated_on <= s.day"
    )
    expected = (
        "select day, country, 'online', invoices, lines, units, sold, back, net, rate, "
        f"(net * rate)::decimal(18, 4) from (select *, ({rate}) as rate from ({sums}) s)"
    )
    assert only_in_one(home, found, expected) == []


def test_stock_on_hand_is_what_has_moved_until_the_end_of_the_day(home):
    (span,) = home.rows(
        "select count(distinct day) as days, min(day) as first, max(day) as last, "
        "(select max(moved_at)::date from silver.stock_movements) as moved from gold.fct_inventory"
    )
    assert (span["first"], span["last"]) == (date(2010, 12, 1), span["moved"])
    assert span["days"] == (span["last"] - span["first"]).days + 1
    looked_at = ", ".join(
        f"date '{span['first'] + timedelta(days=n)}'"
        for n in {*range(3), *range(3, span["days"], 29), span["days"] - 1}
    )
    found = (
        "select day, store_id, stock_code, on_hand, store_key, product_key, date_key "
        f"from gold.fct_inventory where day in ({looked_at})"
    )
    # A day ends with its last microsecond.
    last = "day + interval 1 day - interval 1 microsecond"
    expected = (
        "select day, m.store_id, sku, sum(quantity), "
        f"{valid('store', 'store_id', 'm.store_id', last)}, any_value(product_key), "
        "strftime(day, '%Y%m%d')::bigint "
        f"from (select unnest([{looked_at}]) as day) "
        "join silver.stock_movements m on moved_at < day + interval 1 day "
        "left join gold.dim_product on stock_code = sku group by day, m.store_id, sku"
    )
    assert only_in_one(home, found, expected) == []
