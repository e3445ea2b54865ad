"""Drift: fraud that shifts in the simulator comes to a better champion while nobody looks on."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conftest import Home, invoice_files, start
from tills import NAME, SCORES
from ups import PATIENCE_SECONDS, free_port, until, up

from aquifer.models.registry import CHAMPION, PREVIOUS
from resources.environment import registry

DAY = timedelta(days=1)


def command(home: Path, *arguments: str) -> None:
    """Run a command that succeeds."""
    process = start(*arguments, home=home)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said


def simulate(home: Path, fraud: str, begin: datetime, time: timedelta) -> None:
    """Let tills send the events of a time that is over."""
    lasting = ["--start", begin.isoformat(), "--minutes", str(time / timedelta(minutes=1))]
    command(home, "simulate", "--fraud", fraud, "--topic", "pos.events", "--rate", "0.12", *lasting)


def let_cool_down(home: Path) -> None:
    """Let trainings so far be of two days ago."""
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db", isolation_level=None)) as database:
        database.execute("update model_versions set creation_time = creation_time - 2 * 86400000")


def test_shifted_fraud_leads_to_a_better_champion_that_scores_from_then_on(nursery, tmp_path):
    home = Home(tmp_path / "home")
    assert nursery.work(home, [invoice_files()[:1]]) == 0
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 6 * DAY
    simulate(home.folder, "usual", begin, 3 * DAY)
    assert nursery.drain(home) == 0
    command(home.folder, "model", "train", NAME)
    held = registry({"AQUIFER_HOME": str(home.folder)})
    assert held.version(NAME, CHAMPION) == "1"
    let_cool_down(home.folder)
    with up(home.folder, free_port(), "--no-simulate"):
        simulate(home.folder, "shifted", begin + 3 * DAY, 2 * DAY)
        until(lambda: held.version(NAME, CHAMPION) == "2")
        assert held.version(NAME, PREVIOUS) == "1"
        assert held.moves(NAME)[0].why == "it has passed every gate"
        assert held.tags(NAME, "2")["gate.beats_champion"].startswith("passed: gains")
        simulate(home.folder, "shifted", begin + 5 * DAY, DAY / 24)
        until(lambda: home.rows(f"from {SCORES.name} where model_version = '2'"))
    # Whoever measures while the training is under way asks for it, too; it comes to no other one.
    assert len(held.trained(NAME)) == 2
    asked = home.rows(f"select reason from monitoring.{NAME} where action = 'retrain'")
    assert asked
    assert all("of its inputs have drifted" in row["reason"] for row in asked)
    assert all("payment" in row["reason"] for row in asked)
