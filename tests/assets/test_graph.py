"""Every table of the graph has what its readers need."""

import os
import subprocess
import sys

import pytest
from dagster import AssetKey, AssetsDefinition, AssetSpec, Backoff, Jitter

from aquifer.contract import contract_fields
from aquifer.lineage import raw_fields
from assets import tables
from assets.definitions import defs
from assets.tables import contracts

GRAPH = defs.resolve_asset_graph()
SPECS: dict[str, AssetSpec] = {
    ".".join(spec.key.path): spec for spec in defs.resolve_all_asset_specs()
}
TABLES = sorted(contracts())


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_described_owned_and_fresh(name):
    spec = SPECS[name]
    assert spec.description
    assert spec.owners
    assert spec.kinds
    assert spec.freshness_policy is not None
    assert spec.code_version
    assert spec.group_name == name.split(".")[0]
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns
    assert not [column.name for column in columns if not column.description]


@pytest.mark.parametrize("table", tables.silver, ids=lambda table: table.name)
def test_each_column_of_silver_has_a_lineage(table):
    fields = raw_fields(table.query)
    assert [
        column.name for column in contract_fields(table.contract) if not fields[column.name]
    ] == []


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_checks(name):
    assert GRAPH.get_check_keys_for_assets({AssetKey(name.split("."))})


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("silver.")])
def test_each_silver_table_has_a_quarantine_that_starts_nothing(name):
    quarantine = SPECS[f"{name}_quarantine"]
    assert quarantine.skippable
    assert quarantine.automation_condition is None
    assert not GRAPH.get(quarantine.key).child_keys


@pytest.mark.parametrize("view", tables.serving, ids=lambda view: view.name)
def test_each_served_table_hangs_on_what_it_is_computed_from_and_is_never_run(view):
    node = GRAPH.get(SPECS[view.name].key)
    upstreams = {key.to_user_string().replace("/", ".") for key in node.parent_keys}
    assert upstreams == SERVED_FROM[view.name]
    assert not node.is_executable
    assert SPECS[view.name].metadata["dagster/column_schema"].columns
    assert SPECS[view.name].owners


SERVED_FROM = {
    "serving.sales_by_minute": {"gold.sales_by_minute", "silver.pos_events", "gold.dim_store"},
    "serving.sales_today": {"serving.sales_by_minute"},
}


def test_the_tables_are_those_of_the_design():
    silver = {name for name in TABLES if name.startswith("silver.")}
    gold = {name.split(".")[1] for name in TABLES if name.startswith("gold.")}
    assert {f"silver.{table}" for table in SILVER} <= silver
    assert gold >= GOLD


SILVER = {
    *("invoice_lines", "customers", "customer_changes", "products", "stores", "store_changes"),
    *("regions", "region_changes", "orders", "order_lines", "stock_movements", "members"),
    *("tier_history", "points_ledger", "exchange_rates"),
}
GOLD = {
    *("dim_customer", "dim_store", "dim_geography", "dim_product", "dim_date", "fct_sales"),
    *("fct_orders", "fct_inventory", "daily_sales", "hourly_metrics", "customer_360"),
    "product_performance",
}


def test_what_names_a_customer_is_marked_personal_in_every_table():
    # Keys of members and of their tiers are made from the customer's number.
    named = {"key", "CustomerID", "customer_id", "member_id", "tier_change_id"}
    unmarked = {
        f"{name}.{field.name}"
        for name, contract in contracts().items()
        for field in contract_fields(contract)
        if field.name in named and field.mask != "customer"
    }
    assert unmarked == set()


def test_what_may_pass_is_retried():
    for asset in defs.assets:
        if isinstance(asset, AssetsDefinition) and asset.is_executable:
            policy = asset.node_def.retry_policy
            assert policy.max_retries == 3, asset
            assert (policy.backoff, policy.jitter) == (Backoff.EXPONENTIAL, Jitter.PLUS_MINUS)


def test_everything_declared_is_on():
    assert {schedule.default_status.value for schedule in defs.schedules} == {"RUNNING"}
    assert {sensor.default_status.value for sensor in defs.sensors} == {"RUNNING"}


def test_the_definitions_load_without_a_warning():
    load = "from assets.definitions import defs; defs.get_repository_def()"
    done = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_the_definitions_take_little_more_to_load_than_the_libraries_that_they_are_made_of():
    def seconds(code: str) -> float:
        """Of processor time, since how many others are at work shall not decide."""
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True)
        return os.times().children_user - before.children_user

    libraries = seconds("import dagster, dagster_dbt, deltalake, pandera, sqlalchemy")
    assert seconds("import assets.definitions") < 1.8 * libraries
