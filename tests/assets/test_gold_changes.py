"""What arrives late or odd: gold is as if it had been built from all of it at once."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from worlds import DIMENSIONS, MadeUp, instant

from aquifer.contract import contract_fields
from assets import tables

FACTS = [*DIMENSIONS, "gold.fct_sales"]
DAILY = [*FACTS, "gold.daily_sales"]
PRODUCTS = [*FACTS, "gold.product_performance"]
ORDERS = [*DIMENSIONS, "gold.fct_orders"]

FIRST = instant("2011-03-01 10:00")


def line(number: str, at: datetime, customer: str | None, **other: Any) -> dict[str, Any]:
    """A line of `silver.invoice_lines`: one piece of GBP 2.50, unless it says otherwise."""
    row = {
        "line_id": number,
        "invoice_no": "536365",
        "stock_code": "10001",
        "description": "MUG",
        "quantity": 1,
        "unit_price": Decimal("2.5"),
        "customer_id": customer,
        "country": "EIRE",
        "invoiced_at": at,
        "line_type": "sale",
        **other,
    }
    return {**row, "net_amount": row["quantity"] * row["unit_price"]}


def member(number: str, customer: str, deleted_at: datetime | None = None) -> dict[str, Any]:
    return {
        "member_id": number,
        "customer_id": customer,
        "status": "active",
        "joined_on": date(2011, 1, 1),
        "deleted_at": deleted_at,
    }


@pytest.fixture
def world(tmp_path):
    return MadeUp(tmp_path)


def rate(day: str, value: str) -> dict:
    return {"rated_on": date.fromisoformat(day), "currency": "EUR", "rate": Decimal(value)}


def test_late_rates_and_memberships_that_move_are_as_a_full_refresh(world):
    tier = {"tier_change_id": "t", "member_id": "m", "tier": "gold", "deleted_at": None}
    world.put("silver.exchange_rates", rate("2011-03-01", "1.1"))
    # One customer has a second membership, which stays.
    world.put("silver.members", member("m", "17850"), member("n", "17853"), member("o", "17853"))
    world.put(
        "silver.tier_history",
        {**tier, "changed_at": instant("2011-03-10 00:00")},
        {**tier, "tier_change_id": "u", "member_id": "n", "changed_at": instant("2011-03-10")},
        {**tier, "tier_change_id": "v", "member_id": "o", "changed_at": FIRST, "tier": "silver"},
    )
    late = line("b", instant("2011-03-25 11:00"), "17850", invoice_no="536366")
    other = line("c", FIRST, "17853", invoice_no="536367")
    world.put("silver.invoice_lines", line("a", FIRST, "17850"), late, other)
    assert world.build() == []
    # The next rate comes weeks after the days that it holds for.
    world.put("silver.exchange_rates", rate("2011-03-04", "1.2"))
    world.put("silver.members", member("m", "17851"), member("n", "17851"))
    assert world.build() == []
    incremental = world.content()
    assert {row["eur_rate"] for row in world.rows("gold.daily_sales")} == {
        Decimal("1.1000"),
        Decimal("1.2000"),
    }
    tiers = {row["customer_id"]: row["tier"] for row in world.rows("gold.customer_360")}
    assert tiers == {"17850": None, "17853": "silver"}
    assert world.build(full_refresh=True) == []
    assert world.content() == incremental


def test_returns_of_any_sign_and_days_beyond_the_calendar_are_facts(world):
    odd = [
        line("free", FIRST, None, line_type="return", unit_price=Decimal(0), quantity=-1),
        line("more", FIRST, "17850", line_type="return", invoice_no="C536367"),
        line("far", instant("2061-03-05 10:00"), "17850"),
        line("a", FIRST, "17850", quantity=3),
        line("back", FIRST, "17850", quantity=-2, line_type="return", invoice_no="C536368"),
    ]
    world.put("silver.invoice_lines", *odd)
    assert world.build() == []
    facts = {row["sale_line_id"]: row for row in world.rows("gold.fct_sales")}
    assert facts.keys() == {row["line_id"] for row in odd}
    assert facts["far"]["date_key"] == -1
    assert facts["a"]["date_key"] == 20110301
    # Two of four pieces, and one that came back with the wrong sign, and one for nothing.
    (product,) = world.rows("gold.product_performance")
    assert (product["units_sold"], product["units_returned"]) == (4, 2)
    assert product["return_rate"] == Decimal("0.5000")


def test_quotients_are_rounded_not_cut_off(world):
    sold = line("a", FIRST, "17850", quantity=3)
    back = line("b", FIRST, "17850", quantity=-2, line_type="return", invoice_no="C536367")
    world.put("silver.invoice_lines", sold, back)
    assert world.build(*PRODUCTS) == []
    (product,) = world.rows("gold.product_performance")
    assert product["return_rate"] == Decimal("0.6667")


def test_a_late_change_points_facts_at_its_version_and_back_when_it_is_taken_back(world):
    def change(at: str, city: str) -> dict:
        moved = {"customer_id": "17850", "changed_at": instant(at), "city": city}
        return {**moved, "name": "N", "country": "EIRE", "is_deleted": False}

    def points() -> dict[str, str]:
        city = {row["customer_key"]: row["city"] for row in world.rows("gold.dim_customer")}
        facts = world.rows("gold.fct_sales")
        return {row["sale_line_id"]: city[row["customer_key"]] for row in facts}

    late = instant("2011-04-01 00:00")
    world.put("silver.invoice_lines", line("a", FIRST, "17850"), line("b", late, "17850"))
    world.put("silver.customer_changes", change("2011-01-01", "Leeds"))
    assert world.build(*FACTS) == []
    assert points() == {"a": "Leeds", "b": "Leeds"}
    world.put("silver.customer_changes", change("2011-04-01", "York"))
    assert world.build(*FACTS) == []
    assert points() == {"a": "Leeds", "b": "York"}
    world.put("silver.customer_changes", change("2011-04-01", "Leeds"))
    assert world.build(*FACTS) == []
    assert points() == {"a": "Leeds", "b": "Leeds"}


def test_a_check_that_failed_goes_on_failing_and_holds_back_what_is_downstream(world):
    world.put("silver.invoice_lines", line("a", FIRST, "17850"))
    assert world.build(*DAILY) == []
    odd = {"tier_change_id": "t", "member_id": "m", "tier": "wood", "deleted_at": None}
    world.put("silver.members", member("m", "17850"))
    world.put("silver.tier_history", {**odd, "changed_at": FIRST})
    world.put("silver.invoice_lines", line("b", FIRST, "17850"))
    for _ in range(2):
        failures = world.build(*DAILY)
        assert any(failure.startswith("dim_customer_contract:") for failure in failures)
        assert [row["lines"] for row in world.rows("gold.daily_sales")] == [1]
    world.put("silver.tier_history", {**odd, "changed_at": FIRST, "tier": "gold"})
    assert world.build(*DAILY) == []
    assert [row["lines"] for row in world.rows("gold.daily_sales")] == [2]


def test_nothing_new_writes_no_row(world):
    world.put("silver.invoice_lines", line("a", FIRST, "17850"))
    assert world.build() == []
    files = {name: sorted(world.lake.table(name).file_uris()) for name in world.content()}
    assert world.build() == []
    assert {n: sorted(world.lake.table(n).file_uris()) for n in files} == files


def held(world: MadeUp, name: str, column: str) -> set:
    return {row[column] for row in world.rows(name)}


def dangling(world: MadeUp, name: str) -> list[str]:
    """The foreign keys of a table of which some row holds one that the dimension lacks."""
    return [
        field.name
        for field in contract_fields(tables.gold.contracts[name])
        if field.references
        and not held(world, name, field.name) <= held(world, *field.references.rsplit(".", 1))
    ]


def order(number: str, customer: str) -> dict[str, Any]:
    return {
        "order_id": number,
        "customer_id": customer,
        "store_id": "S01",
        "status": "placed",
        "placed_at": FIRST,
        "currency": "GBP",
    }


def stock(number: str, sku: str) -> dict[str, Any]:
    moved = {"movement_id": number, "store_id": "S01", "sku": sku, "quantity": 5}
    return {**moved, "kind": "receipt", "moved_at": instant("2010-12-01 10:00")}


def test_members_that_the_sources_drop_are_there_for_the_facts_that_point_at_them(world):
    mug = {"sku": "10001", "name": "MUG", "category": "mugs"}
    mug |= {"list_price": Decimal(2), "cost": Decimal(1)}
    bought = line("a", FIRST, "99", stock_code="10002", country="Malta")
    tier = {"tier_change_id": "t", "member_id": "m", "tier": "gold", "deleted_at": None}
    world.put("silver.products", mug)
    world.put("silver.invoice_lines", bought)
    world.put("silver.members", member("m", "98"))
    world.put("silver.tier_history", {**tier, "changed_at": FIRST})
    world.put("silver.orders", order("W1", "99"), order("W2", "98"))
    world.put("silver.stock_movements", stock("1", "10001"), stock("2", "10002"))
    days = {"first_day": "2010-12-01", "last_day": "2010-12-01"}
    assert world.build(*ORDERS, "gold.fct_inventory", **days) == []
    customer = {r["customer_key"]: r["customer_id"] for r in world.rows("gold.dim_customer")}
    ordering = held(world, "gold.fct_orders", "customer_key")
    assert {customer[key] for key in ordering} == {"98", "99"}
    world.put("silver.products", {**mug, "_deleted": True})
    world.put("silver.invoice_lines", {**bought, "_deleted": True})
    world.put("silver.members", member("m", "97"))
    assert world.build(*ORDERS) == []
    assert dangling(world, "gold.fct_orders") == dangling(world, "gold.fct_inventory") == []
    assert held(world, "gold.dim_product", "stock_code") == {"10001", "10002", "unknown"}
    assert held(world, "gold.dim_product", "category") == {None}
    assert held(world, "gold.dim_geography", "country") == {"Malta", "unknown"}
    incremental = world.content(*ORDERS)
    assert world.build(*ORDERS, full_refresh=True) == []
    assert world.content(*ORDERS) == incremental


def test_an_order_whose_amount_no_table_holds_fails_and_one_without_lines_is_worth_nothing(world):
    most = {"order_id": "W1", "line_no": 1, "sku": "10001", "quantity": 10**10}
    most |= {"unit_price": Decimal("9999.9999")}
    world.put("silver.orders", order("W1", "99"), order("W2", "99"))
    world.put("silver.order_lines", *({**most, "order_line_id": n} for n in ("a", "b")))
    (failed,) = world.build(*ORDERS)
    assert failed.startswith("fct_orders_contract:")
    amounts = {row["order_id"]: row["gross_amount"] for row in world.rows("gold.fct_orders")}
    assert amounts == {"W1": None, "W2": 0}


def test_a_test_that_reads_a_table_which_does_not_exist_yet_waits_for_it(world):
    world.put("silver.orders", order("W1", "99"))
    without_calendar = [name for name in ORDERS if name != "gold.dim_date"]
    assert world.build(*without_calendar) == []
    assert world.build("gold.dim_date") == []
    world.lake.table("gold.dim_date").delete("true")
    (failed,) = world.build(*without_calendar)
    assert failed.startswith("fct_orders_date_key_refers:")
