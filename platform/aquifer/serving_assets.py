"""Served tables in the graph: nothing materialises them, as they are computed when asked for."""

from dagster import AssetSpec

from aquifer.assets import code_version
from aquifer.serving import Served
from aquifer.specs import table_spec


def serving_spec(view: Served) -> AssetSpec:
    """The spec of a served table, which is as fresh as what it is computed from."""
    spec = table_spec(
        view.name,
        view.contract,
        deps=view.upstreams,
        kinds={"view", "duckdb"},
        code_version=code_version(view.code),
    )
    return spec.replace_attributes(freshness_policy=None)
