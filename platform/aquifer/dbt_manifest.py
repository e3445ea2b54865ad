"""What dbt's manifest says of the gold tables: what each is made from, and its tests.

Belongs here: reading the manifest. Does not: making it (`dbt_project`), building tables (`gold`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]


def upstreams(manifest: Manifest) -> dict[str, frozenset[str]]:
    """The tables that each gold table reads, through ephemeral models."""
    return {
        f"gold.{node['name']}": frozenset(_upstreams_of(manifest, node))
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and not _ephemeral(node)
    }


def tests(manifest: Manifest, tables: Iterable[str]) -> dict[str, dict[str, frozenset[str]]]:
    """The data tests of each gold table by name, each with the tables that it reads.

    Raises:
        KeyError: a test is of none of the tables, so that no build would run it.
    """
    found: dict[str, dict[str, frozenset[str]]] = {table: {} for table in tables}
    for table, node in _tests(manifest):
        found[table][node["name"]] = frozenset(_upstreams_of(manifest, node))
    return found


def model(manifest: Manifest, table: str) -> Mapping[str, Any]:
    """The node of a gold table."""
    node: Mapping[str, Any] = manifest["nodes"][f"model.aquifer.{table.split('.')[1]}"]
    return node


def _tests(manifest: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The data tests, each with the gold table that it is of."""
    for node in manifest["nodes"].values():
        if node["resource_type"] == "test":
            attached = node.get("attached_node") or ""
            named = node["config"]["meta"].get("dagster", {}).get("ref", {}).get("name")
            yield f"gold.{named or attached.rpartition('.')[2]}", node


def _upstreams_of(manifest: Manifest, node: Mapping[str, Any]) -> Iterator[str]:
    for identity in node["depends_on"]["nodes"]:
        if identity.startswith("source."):
            source = manifest["sources"][identity]
            yield f"{source['source_name']}.{source['name']}"
        elif _ephemeral(manifest["nodes"][identity]):
            yield from _upstreams_of(manifest, manifest["nodes"][identity])
        else:
            yield f"gold.{manifest['nodes'][identity]['name']}"


def _ephemeral(node: Mapping[str, Any]) -> bool:
    materialized: str = node["config"]["materialized"]
    return materialized == "ephemeral"
