"""Merged tables hold the latest state of each key, whatever arrives when."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import HEADER, World, land

from aquifer.landing import LandingFolder
from assets.bronze.invoice_lines import invoice_lines as bronze_lines
from assets.bronze.regions import regions as bronze_regions
from assets.silver.invoice_lines import invoice_lines
from assets.silver.regions import regions
from resources.order_database import OutboxEventLog, create_tables
from resources.sqlite import connect, transaction

EPOCH_US = 1_300_000_000_000_000
COUNTRIES = 30
FILES = 12
NAMES = ["North", "South", None]

writes = st.lists(
    st.tuples(
        st.integers(0, 2),  # the batch in which it arrives
        st.integers(0, 3),  # the time that the source's clock shows
        st.sampled_from(NAMES),  # the region written; none deletes
    ),
    max_size=5,
)
held = st.lists(st.frozensets(st.integers(1, 6)), min_size=1, max_size=3)
"""For each delivery of a file, which of six lines it holds."""


class Sources(World):
    """A world and how many examples it has seen."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.examples = 0


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Sources:
    return Sources(tmp_path_factory.mktemp("merges"))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(writes, min_size=COUNTRIES, max_size=COUNTRIES))
def test_the_latest_by_the_sources_clock_then_its_order_stands(world, histories):
    """The clock of a source may go back: what arrives later may be the older state."""
    world.examples += 1
    names = [f"{world.examples}-{n}" for n in range(COUNTRIES)]
    states: dict[str, list[tuple]] = {name: [] for name in names}
    log = OutboxEventLog(world.folder / "orders.db")
    for batch in range(3):
        with closing(connect(log.path)) as connection:
            create_tables(connection)
            for name, history in zip(names, histories, strict=True):
                for arrives, minute, region in history:
                    if arrives == batch and write(connection, name, minute, region):
                        states[name].append((minute, len(states[name]), region))
        bronze_regions.advance(world.runtime.lake, log)
        assert regions.advance(world.runtime).accounted
    rows = world.runtime.lake.read("silver.regions").to_pylist()
    found = {row["country"]: None if row["_deleted"] else row["region"] for row in rows}
    expected = {name: max(history)[2] for name, history in states.items() if history}
    assert {name: found[name] for name in found.keys() & set(names)} == expected


def write(connection, country: str, minute: int, region: str | None) -> bool:
    """Set the region of a country, or delete it; whether there was anything to do."""
    there = connection.execute("select 1 from regions where country = ?", [country]).fetchone()
    if region is None and not there:
        return False
    with transaction(connection):
        connection.execute("update clock set ts_us = ?", [EPOCH_US + minute * 60_000_000])
        if region is None:
            connection.execute("delete from regions where country = ?", [country])
        elif there:
            sql = "update regions set region = ? where country = ?"
            connection.execute(sql, [region, country])
        else:
            connection.execute("insert into regions values (?, ?)", [country, region])
    return True


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(pairs=st.lists(st.tuples(held, held), min_size=FILES, max_size=FILES))
@pytest.mark.parametrize("together", [True, False])
def test_a_line_stands_as_long_as_the_last_delivery_of_a_file_holds_it(world, together, pairs):
    world.examples += 1
    landing = LandingFolder(world.folder / str(world.examples))
    invoices = [f"{536_000 + FILES * world.examples + n}" for n in range(FILES)]
    for turn in range(3):
        for side in (0, 1):
            for invoice, pair in zip(invoices, pairs, strict=True):
                if turn < len(pair[side]):
                    deliver(landing, f"{invoice}-{side}.csv", invoice, pair[side][turn])
            if side or not together:
                bronze_lines.advance(world.runtime.lake, landing)
                assert invoice_lines.advance(world.runtime).accounted
    live: dict[str, set[int]] = {invoice: set() for invoice in invoices}
    known: dict[str, set[int]] = {invoice: set() for invoice in invoices}
    for row in world.runtime.lake.read("silver.invoice_lines").to_pylist():
        if row["invoice_no"] in live:
            known[row["invoice_no"]].add(row["quantity"])
            if not row["_deleted"]:
                live[row["invoice_no"]].add(row["quantity"])
    assert live == {
        invoice: first[-1] | second[-1]
        for invoice, (first, second) in zip(invoices, pairs, strict=True)
    }
    # A withdrawn line is marked, also where it came and went between two advances: gold knows the
    # same members either way.
    assert known == {
        invoice: frozenset().union(*first, *second)
        for invoice, (first, second) in zip(invoices, pairs, strict=True)
    }


def deliver(landing: LandingFolder, name: str, invoice: str, lines: frozenset[int]) -> None:
    """Land a file that holds these lines of an invoice, told apart by their quantities."""
    # Of two months, so that more than one partition is merged.
    rows = [
        f"{invoice},10001,MUG,{line},2011-0{line % 2 + 1}-01 08:00:00,2.5,,EIRE"
        for line in sorted(lines)
    ]
    land(landing, name, HEADER, *rows)
