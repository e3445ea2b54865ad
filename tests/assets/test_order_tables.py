"""What the order database says, in silver: refused with its reason, or there to be queried."""

import pytest
from worlds import Orders

from aquifer.query import Queries

RESERVED = {
    "silver.regions": {"country_notin"},
    "silver.region_changes": {"country_notin"},
    "silver.stores": {"store_id_notin"},
    "silver.store_changes": {"store_id_notin"},
    "silver.stock_movements": {"store_id_notin", "sku_notin"},
}
HISTORIES = ["silver.customer_changes", "silver.region_changes", "silver.store_changes"]


@pytest.fixture
def orders(tmp_path) -> Orders:
    return Orders(tmp_path)


def refused(orders: Orders, name: str) -> list[set[str]]:
    return [set(row["reasons"]) for row in orders.rows(f"{name}_quarantine")]


def test_keys_of_the_members_that_stand_for_the_unknown_are_refused(orders):
    orders.write(
        "insert into regions values ('unknown', 'North')",
        "insert into stores values ('unknown', 'S', 'Leeds', 'UK', '2010-01-01')",
        "insert into stock_movements values "
        "('m', 'unknown', 'unknown', '5', 'receipt', '2010-12-01 09:00:00')",
    )
    orders.take_in(*RESERVED)
    assert {name: refused(orders, name) for name in RESERVED} == {
        name: [reasons] for name, reasons in RESERVED.items()
    }


def test_an_order_line_whose_amount_no_table_holds_is_refused(orders):
    orders.write(
        "insert into order_lines values ('most', 'W1', '1', '10001', '10000000000', '9999.9999')",
        "insert into order_lines values ('more', 'W1', '2', '10001', '10000000000', '10000')",
        "insert into order_lines values ('unread', 'W1', '2', '10001', 'six', '10000')",
    )
    orders.take_in("silver.order_lines")
    assert [row["order_line_id"] for row in orders.rows("silver.order_lines")] == ["most"]
    assert sorted(map(sorted, refused(orders, "silver.order_lines"))) == [
        ["amount_is_money"],
        ["quantity_not_null", "quantity_unreadable"],
    ]


def test_a_delete_is_a_row_of_the_history_that_a_query_finds(orders):
    orders.write(
        "insert into customers values ('17850', 'Ada', 'a@b.org', '1', 'Street', 'Leeds', 'UK')",
        "insert into regions values ('EIRE', 'Isles')",
        "insert into stores values ('S01', 'First', 'Leeds', 'UK', '2010-01-01')",
        "delete from customers",
        "delete from regions",
        "delete from stores",
    )
    orders.take_in(*HISTORIES)
    queries = Queries(orders.lake)
    for name in HISTORIES:
        found = queries.run(f"select is_deleted from {name} order by changed_at")
        assert found["is_deleted"].to_pylist() == [False, True], name
