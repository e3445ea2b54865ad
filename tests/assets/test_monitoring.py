"""Monitoring: drift and live performance, and what follows of them by itself."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from customers import Customers, constant, rhythms
from dagster import AssetKey, Definitions, evaluate_automation_conditions

from aquifer.models.assets import model_assets
from aquifer.models.model import Retraining
from aquifer.models.registry import CHAMPION, PREVIOUS
from assets.models.repeat_purchase import repeat_purchase

NAME = repeat_purchase.name
MEASURED = f"monitoring.{NAME}"
REQUEST = AssetKey(["monitoring", f"{NAME}_retraining"])


@pytest.fixture(scope="module")
def monitored(tmp_path_factory) -> Customers:
    world = Customers(tmp_path_factory.mktemp("monitored"))
    world.buy(*rhythms(800, 200))
    assert world.run().success
    return world


def newest(world: Customers) -> dict:
    return max(world.rows(MEASURED), key=lambda row: row["measured_at"])


def shift(world: Customers, number: int) -> None:
    """Let all customers stay away, and others come, who buy much more at once."""
    first = max(row["invoiced_at"] for row in world.rows("silver.invoice_lines"))
    rows = rhythms(800, 130, seed=number, first=first, quantity=60)
    world.buy(
        *(
            {
                **row,
                "line_id": f"{number}/{row['line_id']}",
                "customer_id": f"{number}{row['customer_id']}",
            }
            for row in rows
        )
    )


def test_a_champion_that_sees_what_it_was_measured_on_is_left_alone(monitored):
    result = monitored.run("monitoring")
    assert result.success
    passed = {c.check_name for c in result.get_asset_check_evaluations() if c.passed}
    assert {"no_data_drift", "live_performance"} <= passed
    row = newest(monitored)
    assert (row["model_version"], row["action"]) == ("1", "nothing")
    assert row["drifted_share"] < repeat_purchase.retraining.drift_share
    assert row["gain"] > 0
    assert REQUEST not in {event.asset_key for event in result.get_asset_materialization_events()}


def test_the_report_can_be_opened_without_a_network(monitored):
    event = monitored.instance.get_latest_materialization_event(AssetKey(MEASURED.split(".")))
    report = event.asset_materialization.metadata["report"].value
    text = Path(report).read_text(encoding="utf-8")
    assert "recency_days" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?:", text)


def test_a_champion_that_was_forced_in_and_is_worse_is_taken_back(monitored):
    registry = monitored.registry
    bad = monitored.register(constant(len(registry.scorer(NAME, "1").inputs), 0.97))
    registry.promote(NAME, bad, "someone", "by force")
    assert monitored.run("predictions", "monitoring").success
    assert (registry.version(NAME, CHAMPION), registry.version(NAME, PREVIOUS)) == ("1", None)
    row = newest(monitored)
    assert (row["model_version"], row["action"]) == (bad, "rollback")
    move = registry.moves(NAME)[0]
    assert (move.by, move.before, move.version) == ("monitoring", bad, "1")
    assert "on the champion before" in move.why


def test_drift_asks_for_a_retraining_but_not_while_it_cools_down(monitored):
    shift(monitored, 1)
    result = monitored.run("monitoring")
    failed = {c.check_name for c in result.get_asset_check_evaluations() if not c.passed}
    assert "no_data_drift" in failed
    row = newest(monitored)
    assert row["action"] == "nothing"
    assert "but it was trained less than 1 day" in row["reason"]


def test_drift_leads_to_a_better_champion_by_itself_and_to_no_storm(monitored):
    """Automation is asked again and again what to run, as the daemon asks, while all drifts."""
    before = len(monitored.registry.trained(NAME))
    policy = Retraining(cool_down=timedelta(0), most=before + 1)
    eager = replace(repeat_purchase, retraining=policy)
    assets = model_assets(eager)
    defs = Definitions(assets=assets, resources=monitored.resources)
    cursor, trained = None, 0
    for turn in range(6):
        if turn % 3 == 1:
            shift(monitored, 1 + turn)
            assert monitored.run("monitoring", model=eager).success
        found = evaluate_automation_conditions(defs, monitored.instance, cursor=cursor)
        cursor = found.cursor
        asked = {
            key.path[0]
            for asset in assets
            for key in asset.keys
            if found.get_num_requested(key) and not key.path[1].endswith("_retraining")
        }
        if asked:
            trained += "models" in asked
            monitored.run(*asked, model=eager)
    assert trained == 1
    assert len(monitored.registry.trained(NAME)) == before + 1
    assert monitored.registry.version(NAME, CHAMPION) == str(before + 1)
    assert f"but it was trained {before + 1} times" in newest(monitored)["reason"]
