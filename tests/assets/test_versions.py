"""Versions over time (SCD2) are those of a full replay of the history, late changes included."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import SILVER, MadeUp

from aquifer.contract import arrow_schema

BEGIN = datetime(1900, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)
EPOCH = datetime(2011, 1, 1, tzinfo=UTC)
CUSTOMERS = 40
CHANGES = [
    ("silver.customer_changes", "customer_id", "city"),
    ("silver.store_changes", "store_id", "city"),
    ("silver.region_changes", "country", "region"),
]
VERSIONED = {
    "gold.dim_customer": ("customer_id", "city", "tier"),
    "gold.dim_store": ("store_id", "city"),
    "gold.dim_geography": ("country", "region"),
}
"""The natural key of each SCD2 dimension and the attributes that the histories change."""

changes = st.dictionaries(
    st.integers(0, 12),  # the day of the change
    st.tuples(st.sampled_from(["Leeds", "York"]), st.booleans(), st.integers(0, 2)),
    max_size=6,
)
"""For each day a city, whether the row was deleted, and the batch in which the change arrives."""

found_deleted = st.none() | st.tuples(st.integers(0, 16), st.integers(0, 2))
"""The day as of which a row was found deleted, if ever, and the batch in which this is known."""

tiers = st.dictionaries(
    st.integers(0, 12),
    st.tuples(st.sampled_from(["bronze", "gold"]), st.integers(0, 2), found_deleted),
    max_size=3,
)


def replay(changed: dict, tiered: dict, left: tuple | None) -> list[tuple]:
    """The versions of one customer: valid_from, valid_to, city, tier, is_deleted.

    A tier counts until it, or the member, was found deleted: then the one before holds again.
    """
    ends = {
        day: min([found[0] for found in (gone, left) if found], default=math.inf)
        for day, (_, _, gone) in tiered.items()
    }
    days = sorted({*changed, *tiered, *ends.values()} - {math.inf})
    instants = [BEGIN, *(EPOCH + timedelta(days=day) for day in days)]
    states = []
    for day in [None, *days]:
        known = [d for d in changed if day is not None and d <= day]
        source = max(known) if known else min(changed, default=None)
        city, deleted, _ = changed[source] if source is not None else (None, False, 0)
        held = [d for d in tiered if day is not None and d <= day < ends[d]]
        states.append((city, tiered[max(held)][0] if held else None, deleted))
    kept = [i for i in range(len(states)) if i == 0 or states[i] != states[i - 1]]
    until = [*(instants[i] for i in kept[1:]), END]
    return [(instants[i], end, *states[i]) for i, end in zip(kept, until, strict=True)]


class Warehouse(MadeUp):
    """A world whose silver tables are made up, and the SCD2 dimensions built of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.customers = 0

    def versions(self, name: str) -> dict[str, list[tuple]]:
        """Of each key valid_from, valid_to, the attributes and is_deleted."""
        found: dict[str, list[tuple]] = {}
        key, *attributes = VERSIONED[name]
        columns = [key, "valid_from", "valid_to", *attributes, "is_deleted"]
        for row in self.lake.read(name, columns).to_pylist():
            identity = row.pop(key)
            found.setdefault(identity, []).append(tuple(row.values()))
        return {identity: sorted(rows) for identity, rows in found.items()}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("versions"))


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(st.tuples(changes, tiers, found_deleted), min_size=CUSTOMERS, max_size=CUSTOMERS))
def test_versions_are_those_of_a_replay_whatever_arrives_when(warehouse, histories):
    first = warehouse.customers + 10_000
    warehouse.customers += len(histories)
    numbered = {str(first + n): history for n, history in enumerate(histories)}
    for batch in range(3):
        arriving = [
            (identity, day, city, deleted)
            for identity, (changed, _, _) in numbered.items()
            for day, (city, deleted, arrives) in changed.items()
            if arrives == batch
        ]
        for name, key, attribute in CHANGES:
            warehouse.put(name, *(change(key, attribute, *values) for values in arriving))
        warehouse.put(
            "silver.members",
            *(
                member(identity, gone_by(left, batch))
                for identity, (_, _, left) in numbered.items()
                if batch in (0, left and left[1])
            ),
        )
        warehouse.put(
            "silver.tier_history",
            *(
                tier_change(identity, day, tier, gone_by(gone, batch))
                for identity, (_, tiered, _) in numbered.items()
                for day, (tier, arrives, gone) in tiered.items()
                if batch in (arrives, gone and max(gone[1], arrives))
            ),
        )
        assert warehouse.build(*VERSIONED) == []
    customers = {key: replay(*history) for key, history in numbered.items() if any(history[:2])}
    untiered = {
        key: replay(changed, {}, None) for key, (changed, _, _) in numbered.items() if changed
    }
    others = {
        key: [(begin, end, city, deleted) for begin, end, city, _, deleted in versions]
        for key, versions in untiered.items()
    }
    for name in VERSIONED:
        expected = customers if name == "gold.dim_customer" else others
        found = warehouse.versions(name)
        assert {key: found.get(key) for key in expected} == expected


def gone_by(found: tuple | None, batch: int) -> datetime | None:
    """The instant as of which a row was found deleted, as far as a batch knows."""
    return EPOCH + timedelta(days=found[0]) if found and found[1] <= batch else None


def member(identity: str, deleted_at: datetime | None) -> dict:
    return {
        "member_id": f"M{identity}",
        "customer_id": identity,
        "status": "active",
        "joined_on": EPOCH.date(),
        "deleted_at": deleted_at,
    }


def change(
    key: str, attribute: str, identity: str, day: int, value: str, deleted: bool
) -> dict[str, object]:
    return {
        key: identity,
        "changed_at": EPOCH + timedelta(days=day),
        attribute: value,
        "is_deleted": deleted,
    }


def tier_change(identity: str, day: int, tier: str, deleted_at: datetime | None) -> dict:
    return {
        "tier_change_id": f"{identity}-{day}",
        "member_id": f"M{identity}",
        "tier": tier,
        "changed_at": EPOCH + timedelta(days=day),
        "deleted_at": deleted_at,
    }


def test_the_contracts_of_the_hand_written_tables_are_those_of_silver():
    for name, key, attribute in CHANGES:
        names = set(arrow_schema(SILVER[name].contract).names)
        assert set(change(key, attribute, "1", 0, "York", False)) <= names
