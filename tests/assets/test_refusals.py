"""What no table can hold is refused with a reason, and a verdict stands until it is mended."""

import json
from contextlib import closing

import pytest
from worlds import HEADER, World, land

from aquifer.asset_checks import check_results
from aquifer.landing import LandingFolder
from assets.bronze.invoice_lines import invoice_lines as bronze_lines
from assets.bronze.regions import regions as bronze_regions
from assets.silver.invoice_lines import invoice_lines
from assets.silver.region_changes import region_changes
from assets.silver.regions import regions
from resources.order_database import OutboxEventLog, create_tables
from resources.sqlite import connect

GOOD = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"


def line(**fields: str) -> str:
    values = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | fields
    return ",".join(values.values())


class Landing:
    """A world with a landing folder."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = LandingFolder(world.folder / "landing")

    def deliver(self, name: str, *lines: str):
        """Land a file and take it in; what the advance of silver says."""
        land(self.folder, name, HEADER, *lines)
        return self.take_in()

    def take_in(self):
        bronze_lines.advance(self.world.lake, self.folder)
        return invoice_lines.advance(self.world.runtime)


@pytest.fixture
def landing(tmp_path) -> Landing:
    return Landing(World(tmp_path))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Quantity": "10000000000", "UnitPrice": "100000"}, "net_amount_out_of_range"),
        ({"InvoiceDate": "0000-12-01 08:00:00"}, "invoiced_at_out_of_range"),
        ({"InvoiceDate": "1753-01-01 00:00:00"}, "invoiced_at_out_of_range"),
        ({"InvoiceDate": "9999-12-31 23:59:59-05:00"}, "invoiced_at_out_of_range"),
        ({"InvoiceDate": "2010-13-01 08:00:00"}, "invoiced_at_unreadable"),
        ({"Quantity": "six"}, "quantity_unreadable"),
        ({"UnitPrice": "2.55555"}, "unit_price_unreadable"),
    ],
)
def test_a_value_that_no_table_holds_is_refused_and_the_others_go_on(landing, fields, reason):
    advanced = landing.deliver("a.csv", GOOD, line(InvoiceNo="536366", **fields))
    assert (advanced.kept, advanced.quarantined) == (1, 1)
    assert reason in advanced.reasons
    standing = invoice_lines.standing(landing.world.lake)
    checks = check_results(advanced, standing, invoice_lines.contract)
    verdicts = {check.check_name: check for check in checks}
    assert not verdicts["readable"].passed


def test_a_large_batch_of_bad_rows_fails_until_it_is_superseded(landing):
    good = [line(InvoiceNo=f"{540_000 + n}") for n in range(1_000)]
    bad = [line(InvoiceNo=f"{550_000 + n}", Quantity="x") for n in range(50)]

    def passed(advanced) -> bool:
        standing = invoice_lines.standing(landing.world.lake)
        verdicts = check_results(advanced, standing, invoice_lines.contract)
        (share,) = (check for check in verdicts if check.check_name == "quarantine_share")
        return share.passed

    assert not passed(landing.deliver("a.csv", *good, *bad))
    # Nothing new makes nothing good, and neither do a few good rows.
    assert not passed(landing.take_in())
    assert not passed(landing.deliver("b.csv", GOOD))
    assert passed(landing.deliver("a.csv", *good))
    assert passed(landing.take_in())


def publish(world: World, *events: dict | str) -> OutboxEventLog:
    """Put events of regions into the outbox as they stand, all in one partition."""
    log = OutboxEventLog(world.folder / "orders.db")
    with closing(connect(log.path)) as connection:
        create_tables(connection)
        offset = log.end_offsets("orders.regions")[0]
        connection.executemany(
            "insert into outbox (topic, partition, 'offset', key, value, ts_us) "
            "values ('orders.regions', 0, ?, 'k', ?, 0)",
            [
                (offset + n, event if isinstance(event, str) else json.dumps(event))
                for n, event in enumerate(events)
            ],
        )
    return log


def event(op: str | None, minute: int | None, after: dict | None, before: dict | None = None):
    at = None if minute is None else 1_300_000_000_000_000 + minute * 60_000_000
    source = {"lsn": minute, "ts_us": at}
    return {"op": op, "before": before, "after": after, "source": source}


NORTH = {"country": "EIRE", "region": "North"}
SOUTH = {"country": "EIRE", "region": "South"}


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (event(None, 1, NORTH), "op_missing"),
        (event("u", None, NORTH), "changed_at_missing"),
        (event("u", -200_000_000, NORTH), "changed_at_out_of_range"),
        ("not JSON", "country_not_null"),
    ],
)
def test_an_event_that_does_not_say_what_happened_and_when_is_refused(tmp_path, refused, reason):
    world = World(tmp_path)
    log = publish(world, refused, event("c", 2, SOUTH))
    bronze_regions.advance(world.lake, log)
    for table in (regions, region_changes):
        advanced = table.advance(world.runtime)
        assert (advanced.kept, advanced.quarantined, advanced.lost) == (1, 1, 0)
        assert reason in advanced.reasons
    assert [row["region"] for row in world.rows("silver.regions")] == ["South"]


@pytest.mark.parametrize("together", [True, False])
def test_a_delete_that_carries_only_the_key_keeps_the_last_values(tmp_path, together):
    world = World(tmp_path)
    changes = [event("c", 1, NORTH), event("u", 2, SOUTH, NORTH)]
    changes.append(event("d", 3, None, {"country": "EIRE"}))
    for batch in [changes] if together else [[change] for change in changes]:
        bronze_regions.advance(world.lake, publish(world, *batch))
        regions.advance(world.runtime)
    (row,) = world.rows("silver.regions")
    assert (row["region"], row["_deleted"]) == ("South", True)
