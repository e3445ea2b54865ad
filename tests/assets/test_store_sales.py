"""Sales at the tills, from the event to the fact."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from worlds import DIMENSIONS, Streams

TOPIC, SILVER = "pos.events", "silver.pos_events"
MARTS = [
    f"gold.{name}"
    for name in ("daily_sales", "hourly_metrics", "customer_360", "product_performance")
]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def till(event_id: str, type_: str = "sale", **fields: Any) -> dict[str, Any]:
    """A till's event with two lines, but for a void."""
    sign = -1 if type_ == "return" else 1
    event = {
        "event_id": event_id,
        "type": type_,
        "event_time": NOON.isoformat(),
        "sent_at": (NOON + timedelta(seconds=1)).isoformat(),
        "store_id": "S01",
        "register": 3,
        "cashier_id": "C7",
        "payment": "card",
        "lines": [line("85123A", 2 * sign, "2.55", "0.10"), line("22423", sign, "10.95")],
    }
    if type_ == "void":
        del event["lines"], event["payment"]
    return event | fields


def line(sku: str, quantity: Any, price: str, discount: str = "0") -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, "unit_price": price, "discount": discount}


class Tills(Streams):
    """A world with tills."""

    def sell(self, *events: dict[str, Any] | bytes) -> dict[str, Decimal]:
        """Take events in up to gold, in a batch; the net of each line that stands there then."""
        self.produce(TOPIC, *events)
        assert self.take_in(TOPIC).accounted
        return self.build_sales()

    def append(self, *events: dict[str, Any]) -> dict[str, Decimal]:
        """As `sell`, but only what is new is looked at."""
        self.produce(TOPIC, *events)
        assert self.take_in(TOPIC).accounted
        return self.build_sales(appending=[SILVER])

    def build_sales(self, appending: Sequence[str] = ()) -> dict[str, Decimal]:
        assert self.build("gold.fct_sales", appending=appending) == []
        return self.sales()

    def sales(self) -> dict[str, Decimal]:
        rows = self.rows("gold.fct_sales")
        sales = {row["sale_line_id"]: row["net_amount"] for row in rows}
        assert len(sales) == len(rows)
        return sales


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a world that has its dimensions."""
    world = Tills(tmp_path_factory.mktemp("opened"))
    assert world.build(*DIMENSIONS) == []
    return world.folder


@pytest.fixture
def tills(opened: Path, tmp_path: Path) -> Tills:
    return Tills(shutil.copytree(opened, tmp_path / "tills"))


def test_a_sale_stands_in_gold_by_its_event_and_line(tills: Tills) -> None:
    tills.sell(till("a"))
    first, second = sorted(tills.rows("gold.fct_sales"), key=lambda row: row["sale_line_id"])
    assert (first["sale_line_id"], second["sale_line_id"]) == ("a|1", "a|2")
    assert first["channel"] == "store"
    assert first["invoice_no"] == "a"
    assert first["sold_at"] == NOON
    assert first["sent_at"] == NOON + timedelta(seconds=1)
    assert first["quantity"] == 2
    assert first["discount"] == Decimal("0.10")
    assert first["net_amount"] == Decimal("5.00")
    assert second["net_amount"] == Decimal("10.95")


def test_a_return_counts_backwards(tills: Tills) -> None:
    assert tills.sell(till("a", "return")) == {"a|1": Decimal("-5.20"), "a|2": Decimal("-10.95")}


def test_a_void_takes_its_lines_out_whichever_comes_first(tills: Tills) -> None:
    assert set(tills.sell(till("a"), till("b"))) == {"a|1", "a|2", "b|1", "b|2"}
    assert set(tills.sell(till("va", "void", voids="a"), till("vc", "void", voids="c"))) == {
        "b|1",
        "b|2",
    }
    assert set(tills.sell(till("c"), till("d"))) == {"b|1", "b|2", "d|1", "d|2"}
    assert set(tills.sell(till("e"), till("ve", "void", voids="e"))) == {"b|1", "b|2", "d|1", "d|2"}


def test_what_is_new_is_appended_at_once_and_what_changes_follows(tills: Tills) -> None:
    tills.sell(till("a"), till("b"))
    other = till("a", lines=[line("22423", 7, "1.00")])
    void = till("vb", "void", voids="b")
    appended = tills.append(other, void, till("c"), till("d"), till("vd", "void", voids="d"))
    assert set(appended) == {"a|1", "a|2", "b|1", "b|2", "c|1", "c|2"}
    followed = set(tills.build_sales())
    assert followed in ({"a|1", "c|1", "c|2"}, {"a|1", "a|2", "c|1", "c|2"})
    assert set(tills.append(till("e"))) == followed | {"e|1", "e|2"}


ODD = ["o'clock", "back\\", "${spark.app.name}", '"', "%_"]


def test_contents_of_ids_of_any_text_replace_each_other(tills: Tills) -> None:
    ids = [f"{odd} {number}" for odd in ODD for number in range(8)]
    before = tills.sell(*map(till, ids))
    after = tills.sell(*(till(event, lines=[line("22423", 7, "1.00")]) for event in ids))
    replaced = {key.rpartition("|")[0] for key in before.keys() - after.keys()}
    assert {event.rpartition(" ")[0] for event in replaced} == {*ODD}
    assert {key.rpartition("|")[0] for key in after} == {*ids}


def test_ids_of_any_text_are_told_apart(tills: Tills) -> None:
    tills.sell(*(till(event) for event in ODD))
    voids = [till(f"v{event}", "void", voids=event) for event in ODD]
    assert set(tills.sell(*voids[1:])) == {"o'clock|1", "o'clock|2"}
    assert tills.sell(voids[0]) == {}


def test_of_two_contents_of_an_event_one_counts_whatever_comes_first(
    opened: Path, tmp_path: Path
) -> None:
    """What a void that lost has voided stands again, and lines that a loser alone had are gone."""
    contents = [
        till("a"),
        till("a", lines=[line("22423", 7, "1.00")], event_time="2026-11-19T08:00:00Z"),
        till("b"),
        till("v", "void", voids="b"),
        till("v", "void", voids="z"),
    ]
    worlds = []
    for number, order in enumerate([(0, 1, 2, 3, 4), (4, 2, 1, 0, 3), (3, 2, 1, 4, 0)]):
        world = Tills(shutil.copytree(opened, tmp_path / str(number)))
        for place in order:
            (world.append if number == 1 else world.sell)(contents[place])
            if not number:
                assert world.build(*MARTS) == []
        world.build_sales()
        worlds.append(world)
    together = Tills(shutil.copytree(opened, tmp_path / "together"))
    together.sell(*contents)
    assert together.build(*MARTS) == []
    # The first built its marts of what lost, too.
    assert worlds[0].content(*MARTS) == together.content(*MARTS)
    for world in worlds:
        assert world.content("silver.pos_events", "gold.fct_sales") == together.content(
            "silver.pos_events", "gold.fct_sales"
        )
        quarantine = world.rows("silver.pos_events_quarantine")
        assert [row["reasons"] for row in quarantine] == [["conflicting_content"]] * 2


def test_marts_follow_the_tills(tills: Tills) -> None:
    """Recomputed from what stands, so that a void or a late event leaves no trace."""
    tills.sell(till("a", member_id="12345"), till("b"))
    assert tills.build(*MARTS) == []
    (day,) = tills.rows("gold.daily_sales")
    assert (day["channel"], day["invoices"], day["revenue"]) == ("store", 2, Decimal("31.90"))
    (customer,) = tills.rows("gold.customer_360")
    assert (customer["customer_id"], customer["monetary"]) == ("12345", Decimal("15.95"))
    assert {row["stock_code"] for row in tills.rows("gold.product_performance")} == {
        "85123A",
        "22423",
    }
    tills.sell(till("va", "void", voids="a"), till("c", event_time="2026-11-19T08:00:00Z"))
    assert tills.build(*MARTS) == []
    assert (
        sorted(row["revenue"] for row in tills.rows("gold.daily_sales")) == [Decimal("15.95")] * 2
    )
    assert len(tills.rows("gold.hourly_metrics")) == 2
    assert tills.rows("gold.customer_360") == []


def test_an_event_that_comes_in_while_gold_is_built_is_for_the_next_build(tills: Tills) -> None:
    tills.produce(TOPIC, till("a"))
    tills.take_in(TOPIC)
    builds = tills.gold.build(tills.runtime, tills.remote, ["gold.fct_sales"])
    next(builds)  # It has seen what there is.
    tills.produce(TOPIC, till("b"))
    tills.take_in(TOPIC)
    list(builds)
    assert set(tills.build_sales()) == {"a|1", "a|2", "b|1", "b|2"}
    assert len(tills.rows("gold.fct_sales")) == 4


@pytest.mark.parametrize("new", [(), ("new",)])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_build_that_was_killed_between_its_commits_is_repeated(
    tills: Tills, lost: int, new: Sequence[str]
) -> None:
    """It inserts what is new, deletes and inserts what changes, and records all that."""
    before = tills.sell(*(till(event) for event in "abcdefgh"))
    changed = [till(event, lines=[line("22423", 7, "1.00")]) for event in "abcdefgh"]
    after = tills.sell(*changed, *map(till, new))
    assert before.keys() - after.keys()
    # Without its last commits: what a kill leaves.
    version = tills.lake.version("gold.fct_sales")
    log = Path(tills.lake.uri("gold.fct_sales")) / "_delta_log"
    for commit in range(version - lost + 1, version + 1):
        for file in log.glob(f"{commit:020}.*"):
            file.unlink()
    # A thread of its own, as the handles of this one have seen the commits.
    with ThreadPoolExecutor(1) as other:
        assert other.submit(tills.build_sales).result() == after
