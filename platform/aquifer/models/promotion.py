"""Promotion: a challenger that has passed its gates becomes champion; a champion can be taken back.

Belongs here: what may be promoted. Does not: the moves of aliases (`registry`), and the gates.
"""

from typing import Any

from dagster import MetadataValue

from aquifer.models.errors import RegistryError
from aquifer.models.gates import FAILED, GATE
from aquifer.models.registry import CHALLENGER, CHAMPION, PREVIOUS, ROLLED_BACK, Move, Registry


def promote_challenger(registry: Registry, name: str, by: str) -> Move | None:
    """Let the challenger be champion; None if it is already.

    Raises:
        RegistryError: there is none, it has not passed a gate, or it was taken back before.
    """
    version = registry.version(name, CHALLENGER)
    if version is None:
        raise RegistryError(f"{name} has no challenger; materialise models/{name}")
    if version == registry.version(name, CHAMPION):
        return None
    tags = registry.tags(name, version)
    failed = [value for tag, value in sorted(tags.items()) if tag.startswith(GATE)]
    failed = [value for value in failed if value.startswith(FAILED)]
    if failed:
        raise RegistryError(f"version {version} of {name} stays challenger: {'; '.join(failed)}")
    if ROLLED_BACK in tags:
        raise RegistryError(
            f"version {version} of {name} was taken back ({tags[ROLLED_BACK]}); train another, or "
            f"`aquifer model promote {name} {version}`"
        )
    return registry.promote(name, version, by, "it has passed every gate")


def champion_metadata(registry: Registry, name: str) -> tuple[dict[str, Any], str]:
    """What Dagster is told of a champion, and its version."""
    version = registry.version(name, CHAMPION) or "none"
    moves = registry.moves(name)
    lines = ["| when | version | before | by | why |", "|---|---|---|---|---|"]
    lines += [f"| {m.at} | {m.version} | {m.before or ''} | {m.by} | {m.why} |" for m in moves]
    return {
        "model version": version,
        "previous version": registry.version(name, PREVIOUS) or "none",
        "URI": f"models:/{name}@{CHAMPION}",
        "moves": MetadataValue.md("\n".join(lines)),
    }, version
