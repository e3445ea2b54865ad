"""The source systems, upstream of bronze: what delivers to the platform.

The order and rewards databases are simulated here, so materialising them lets time pass in them.
"""

from collections.abc import Iterator
from typing import Any

from aquifer.specs import asset_key
from dagster import AssetExecutionContext, AssetSpec, MaterializeResult, multi_asset

INVOICE_FILES = AssetSpec(
    asset_key("source.invoice_files"),
    description="Daily CSV files of invoice lines in the landing folder.",
    group_name="source",
    kinds={"csv"},
    owners=["team:sales"],
)
RATES_SERVICE = AssetSpec(
    asset_key("source.rates_service"),
    description="The REST service that publishes daily exchange rates.",
    group_name="source",
    kinds={"rest"},
    owners=["team:finance"],
)


def _database(name: str, description: str, owner: str) -> AssetSpec:
    return AssetSpec(
        asset_key(f"source.{name}"),
        deps=[INVOICE_FILES],
        description=description,
        group_name="source",
        kinds={"sqlite"},
        owners=[owner],
        code_version="1",
    )


@multi_asset(
    specs=[
        _database(
            "order_database",
            "The web shop's database: customers, products, stores, regions, orders, stock. "
            "Its triggers capture each change into an outbox.",
            "team:orders",
        ),
        _database(
            "rewards_database",
            "The rewards programme's database: members, tiers and points.",
            "team:loyalty",
        ),
    ],
    required_resource_keys={"simulation"},
)
def simulated_databases(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
    """Play both databases up to the latest landed day."""
    writes = context.resources.simulation.advance()
    for name, count in writes.items():
        key = {"orders": "order_database", "rewards": "rewards_database"}[name]
        yield MaterializeResult(asset_key=asset_key(f"source.{key}"), metadata={"writes": count})
