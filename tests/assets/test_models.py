"""Models: trained on what was known, promoted if they pass, and taken back."""

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from conftest import start
from customers import FIRST, Customers, constant, failed_checks, failure, purchase, rhythms
from dagster import AssetKey, build_sensor_context

from aquifer.models.champion_sensor import champions_sensor
from aquifer.models.errors import RegistryDown, RegistryError
from aquifer.models.registry import CHALLENGER, CHAMPION, PREVIOUS
from aquifer.models.training_set import Pinned
from assets.models.repeat_purchase import repeat_purchase
from resources.registry import RegistryResource

NAME = repeat_purchase.name
PREDICTIONS = f"predictions.{NAME}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Customers:
    """A world whose model was trained once, and promoted."""
    world = Customers(tmp_path_factory.mktemp("trained"))
    world.buy(*rhythms(800, 200))
    result = world.run()
    assert result.success, (failed_checks(result), failure(result))
    return world


def test_a_model_that_passes_its_gates_is_champion_and_scores_every_customer(trained):
    assert trained.registry.version(NAME, CHAMPION) == "1"
    tags = trained.registry.tags(NAME, "1")
    assert {tag.removeprefix("gate.") for tag in tags if tag.startswith("gate.")} == {
        *repeat_purchase.gates
    }
    rows = trained.rows(PREDICTIONS)
    latest = max(row["day"] for row in trained.rows("features.customer_behaviour"))
    known = [r for r in trained.rows("features.customer_behaviour") if r["day"] == latest]
    assert {row["customer_id"] for row in rows} == {row["customer_id"] for row in known}
    assert {(row["model_version"], row["feature_version"]) for row in rows} == {
        ("1", trained.lake.version("features.customer_behaviour"))
    }
    weekly = [row["probability"] for row in rows if int(row["customer_id"]) % 2]
    seldom = [row["probability"] for row in rows if not int(row["customer_id"]) % 2]
    assert sum(weekly) / len(weekly) > 0.9 > 0.7 > sum(seldom) / len(seldom)


def test_what_a_model_was_trained_on_and_why_it_was_promoted_is_told_in_both_places(trained):
    event = trained.instance.get_latest_materialization_event(AssetKey(["models", NAME]))
    metadata = event.asset_materialization.metadata
    client = trained.registry.client
    version = client.get_model_version(NAME, metadata["model version"].value)
    run = client.get_run(version.run_id)
    assert run.info.run_id in str(metadata["MLflow run"].value)
    assert run.data.tags["dagster.run_id"] == event.run_id
    assert run.data.metrics["log_loss"] == metadata["log_loss"].value
    read = metadata["versions read"].data
    assert read.keys() == {*repeat_purchase.upstreams}
    said = {
        each.dataset.name: json.loads(each.dataset.source)["delta_table_version"]
        for each in run.inputs.dataset_inputs
    }
    assert said == read
    assert metadata["model card"].value == version.description
    (move,) = trained.registry.moves(NAME)
    assert (move.before, move.version, move.why) == (None, "1", "it has passed every gate")
    assert move.by.startswith("Dagster run ")


def test_entities_and_model_that_are_as_before_are_not_scored_again(trained):
    version = trained.lake.version(PREDICTIONS)
    assert trained.run("predictions").success
    assert trained.lake.version(PREDICTIONS) == version


def test_what_changes_while_a_model_learns_is_not_seen(trained):
    learner = repeat_purchase.learner()
    pinned = Pinned.now(trained.lake, repeat_purchase.upstreams)
    before = learner.training_set(trained.runtime, pinned)
    late = FIRST + timedelta(days=150)
    trained.buy(*(purchase(90_000 + n, str(10_000 + n), late) for n in range(0, 400, 2)))
    after = learner.training_set(trained.runtime, pinned)
    assert after.rows == before.rows
    now = learner.training_set(trained.runtime, Pinned.now(trained.lake, repeat_purchase.upstreams))
    assert now.rows != before.rows


def test_no_label_of_what_is_learned_reaches_into_what_is_held_out(trained):
    data = repeat_purchase.learner().training_set(
        trained.runtime, Pinned.now(trained.lake, repeat_purchase.upstreams)
    )
    horizon = repeat_purchase.split.horizon
    last = max(data.training.rows["event_time"].to_pylist())
    assert last + horizon <= min(data.holdout.rows["event_time"].to_pylist())
    for learned, validated in data.folds():
        last = max(learned.rows["event_time"].to_pylist())
        assert last + horizon <= min(validated.rows["event_time"].to_pylist())


def test_a_challenger_that_is_no_better_stays_challenger_and_says_why(trained):
    result = trained.run()
    assert not result.success
    assert "the lower bound has to be above 0" in failed_checks(result)["beats_champion"]
    assert trained.registry.version(NAME, CHAMPION) == "1"
    assert trained.registry.version(NAME, CHALLENGER) == "2"
    assert trained.registry.tags(NAME, "2")["gate.beats_champion"].startswith("failed: gains")
    assert not trained.run("champions").success
    assert trained.registry.version(NAME, CHAMPION) == "1"


def test_a_version_that_is_promoted_by_force_is_taken_back_and_not_promoted_again(trained):
    registry = trained.registry
    registry.promote(NAME, "2", "someone", "by force")
    assert (registry.version(NAME, CHAMPION), registry.version(NAME, PREVIOUS)) == ("2", "1")
    assert trained.run("predictions").success
    assert {row["model_version"] for row in trained.rows(PREDICTIONS)} == {"2"}
    move = registry.rollback(NAME, "someone", "it is bad")
    assert (move.before, move.version) == ("2", "1")
    assert (registry.version(NAME, CHAMPION), registry.version(NAME, PREVIOUS)) == ("1", None)
    assert registry.tags(NAME, "2")["rolled_back"] == "it is bad"
    with pytest.raises(RegistryError, match="has no previous champion"):
        registry.rollback(NAME, "someone", "again")
    for gate in repeat_purchase.gates:
        registry.tag(NAME, "2", f"gate.{gate}", "passed: someone says so")
    result = trained.run("champions")
    assert "version 2 of repeat_purchase was taken back (it is bad)" in failure(result)
    assert trained.run("predictions").success
    assert {row["model_version"] for row in trained.rows(PREDICTIONS)} == {"1"}


def test_a_rollback_by_the_command_takes_less_than_5_seconds_of_processor(trained):
    """Of processor, as others on the machine would count in a time by the clock."""
    trained.registry.promote(NAME, "2", "someone", "by force")
    command = start("model", "rollback", NAME, home=trained.folder)
    _, status, used = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    said, told = command.communicate()
    assert (command.returncode, told) == (0, "")
    assert said == f"{NAME}: version 1 is champion again, and 2 no more\n"
    assert trained.registry.version(NAME, CHAMPION) == "1"
    assert used.ru_utime + used.ru_stime < 5


def test_dagster_is_told_once_of_a_champion_that_was_moved_elsewhere(trained):
    look = champions_sensor([repeat_purchase])
    resources = {"registry": trained.registries}
    trained.registry.promote(NAME, "2", "someone", "by force")
    for version in ("2", "1"):
        with build_sensor_context(instance=trained.instance, resources=resources) as context:
            (event,) = look.evaluate_tick(context).asset_events
            assert event.asset_key == AssetKey(["champions", NAME])
            assert event.metadata["model version"].value == version
            assert "someone" in event.metadata["moves"].value
            trained.instance.report_runless_asset_event(event)
            assert look.evaluate_tick(context).skip_message == "no champion has moved"
        if version == "2":
            trained.registry.rollback(NAME, "someone", "it is bad")


def test_an_artifact_that_is_damaged_is_refused_and_predictions_stay(trained):
    trained.registry.alias(NAME, CHAMPION, "1")
    graph = trained.registry.bundle(NAME, "1") / "model.onnx"
    whole = graph.read_bytes()
    before = trained.content(PREDICTIONS)
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = trained.run("predictions")
    assert "version 1 of repeat_purchase cannot be used" in failure(result)
    assert "checksum" in failure(result)
    assert trained.content(PREDICTIONS) == before
    graph.write_bytes(whole)
    assert trained.run("predictions").success


def test_a_model_that_comes_to_no_number_is_told_of_and_predictions_stay(trained):
    bundle = trained.registry.bundle(NAME, "1")
    manifest, whole = (bundle / "model.json").read_text(), (bundle / "model.onnx").read_bytes()
    graph = constant(len(json.loads(manifest)["inputs"]), math.nan)
    damaged = graph.SerializeToString()
    before = trained.content(PREDICTIONS)
    (bundle / "model.onnx").write_bytes(damaged)
    told = {**json.loads(manifest), "sha256": hashlib.sha256(damaged).hexdigest()}
    (bundle / "model.json").write_text(json.dumps(told))
    trained.buy(purchase(95_000, "10001", FIRST + timedelta(days=199)))
    result = trained.run("predictions")
    assert "repeat_purchase 1 predicts a probability that is no number" in failure(result)
    assert trained.content(PREDICTIONS) == before
    (bundle / "model.onnx").write_bytes(whole)
    (bundle / "model.json").write_text(manifest)


def test_a_registry_that_is_down_is_told_of_soon_and_the_champion_stays(trained):
    down = RegistryResource(
        uri="http://127.0.0.1:1",
        folder=str(trained.folder / "mlflow"),
        leases=str(trained.folder / "leases"),
    )
    began = time.monotonic()
    with pytest.raises(RegistryDown, match="MLflow does not answer"):
        down.registry.experiment(NAME)
    assert time.monotonic() - began < 30
    assert trained.registry.version(NAME, CHAMPION) == "1"


@pytest.fixture
def untrained(tmp_path) -> Customers:
    return Customers(tmp_path)


def test_too_few_examples_are_refused_in_one_line(untrained):
    untrained.buy(*rhythms(30, 200))
    said = failure(untrained.run())
    assert "repeat_purchase has" in said
    assert "examples for holdout, and needs 200" in said
    assert "\n" not in said
    assert untrained.registry.version(NAME, CHALLENGER) is None


def test_labels_of_one_class_are_refused(untrained):
    rows = [
        purchase(1000 * n + day, str(10_000 + n), FIRST + timedelta(days=day))
        for n in range(250)
        for day in range(0, 200, 10)
    ]
    untrained.buy(*rows)
    assert "examples that are all of one class (1)" in failure(untrained.run())


def test_a_feature_that_is_null_everywhere_is_refused_by_name(untrained):
    rows = [
        purchase(n, str(10_000 + n), FIRST + timedelta(days=n * 200 / 3000)) for n in range(3000)
    ]
    untrained.buy(*rows, *(purchase(5000 + n, "9999", FIRST) for n in range(1)))
    said = failure(untrained.run())
    assert "would learn from mean_gap_days, overdue, which is null in every example" in said


def test_a_table_that_is_missing_is_named(untrained):
    said = failure(untrained.run())
    assert "features.customer_behaviour does not exist yet" in said


def test_a_study_that_was_killed_goes_on_where_it_was(tmp_path):
    storage = f"sqlite:///{tmp_path}/studies.db"
    script = (
        "import sys, time\n"
        "from aquifer.models.tuning import Tuning\n"
        "tried = []\n"
        "def loss(family, parameters, fold):\n"
        "    tried.append(parameters['x'])\n"
        "    print(len(tried), flush=True)\n"
        "    if len(tried) == int(sys.argv[2]):\n"
        "        time.sleep(60)\n"
        "    return (parameters['x'] - 3) ** 2\n"
        "suggest = {'only': lambda trial: {'x': trial.suggest_float('x', 0, 10)}}\n"
        "choice = Tuning('s', sys.argv[1], 60, 6).choose(suggest, 1, loss)\n"
        "print(choice.trials, len(tried))\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script, storage, "4"], stdout=subprocess.PIPE, text=True
    )
    assert [first.stdout.readline().strip() for _ in range(4)] == ["1", "2", "3", "4"]
    first.kill()
    first.wait()
    second = subprocess.run(
        [sys.executable, "-c", script, storage, "99"], capture_output=True, text=True, check=True
    )
    assert second.stdout.splitlines()[-1] == "6 3"
