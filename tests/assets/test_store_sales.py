"""Sales at the tills, from the event to the fact."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from worlds import DIMENSIONS, Streams

TOPIC = "pos.events"
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

    def build_sales(self) -> dict[str, Decimal]:
        assert self.build("gold.fct_sales") == []
        return {row["sale_line_id"]: row["net_amount"] for row in self.rows("gold.fct_sales")}


@pytest.fixture
def tills(tmp_path: Path) -> Tills:
    world = Tills(tmp_path)
    assert world.build(*DIMENSIONS) == []
    return world


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
