"""The source systems, upstream of bronze: what delivers to the platform.

The order and rewards databases are simulated here, so materialising them lets time pass in them.
"""

from collections.abc import Iterator
from typing import Any

from dagster import AssetExecutionContext, AssetSpec, MaterializeResult, multi_asset

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.automation import RETRIES
from aquifer.specs import asset_key

INVOICE_FILES = AssetSpec(
    asset_key("source.invoice_files"),
    description="Daily CSV files of invoice lines in the landing folder.",
    group_name="source",
    kinds={"csv"},
    owners=["team:sales"],
)


def _simulated(name: str, kind: str, owner: str, description: str) -> AssetSpec:
    return AssetSpec(
        asset_key(f"source.{name}"),
        deps=[INVOICE_FILES],
        description=description,
        group_name="source",
        kinds={kind},
        owners=[owner],
        code_version="1",
    )


@multi_asset(
    specs=[
        _simulated(
            "order_database",
            "sqlite",
            "team:orders",
            "The web shop's database: customers, products, stores, regions, orders, stock. "
            "Its triggers capture each change into an outbox.",
        ),
        _simulated(
            "rewards_database",
            "sqlite",
            "team:loyalty",
            "The rewards programme's database: members, tiers and points.",
        ),
        _simulated(
            "rates_service",
            "rest",
            "team:finance",
            "The REST service that publishes daily exchange rates, up to the simulated present.",
        ),
    ],
    required_resource_keys={"simulation"},
    retry_policy=RETRIES,
)
def simulated_sources(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
    """Let time pass up to the latest landed day."""
    with permanent_errors_fail_at_once():
        written = context.resources.simulation.advance()
    for name, writes in written.items():
        yield MaterializeResult(asset_key=asset_key(f"source.{name}"), metadata={"writes": writes})
    yield MaterializeResult(asset_key=asset_key("source.rates_service"))


assets = [INVOICE_FILES, simulated_sources]
