"""The model service answers as the model does, whatever happens around it; so does the edge."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from conftest import start
from served_models import (
    CUSTOMERS,
    EVENT_TIME,
    FEATURES,
    MODEL,
    Service,
    graph,
    only,
    register,
    serving,
    without_number,
    without_number_above,
)
from ups import free_port, until
from worlds import Streams

from aquifer.models.export import export
from aquifer.models.registry import CHALLENGER, CHAMPION
from resources.event_log.embedded import EmbeddedEventLog

ONE, OTHER = CUSTOMERS[:2]
TOPIC = "model.predictions"
SENT_AT_ONCE = 150
END_SECONDS = 60


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("served")) as service:
        yield service


def events(service: Service) -> dict[str, dict[str, Any]]:
    """The predictions in the event log, by id."""
    with closing(EmbeddedEventLog(service.home / "events")) as log:
        found = log.read(TOPIC, dict(log.begin_offsets(TOPIC)), 1_000_000)
    told = map(json.loads, found["value"].to_pylist())
    return {each["event_id"]: each for each in told}


def arrived(service: Service, *ids: str) -> list[dict[str, Any]]:
    """The events with these ids, once all are in the log."""
    until(lambda: {*ids} <= events(service).keys())
    told = events(service)
    return [told[each] for each in ids]


def test_one_entity_and_a_batch_are_answered_as_the_model_scores_their_features(service):
    one = service.predict({"entity": {"customer_id": ONE}})
    assert one.status == 200
    assert one.body["entity"] == {"customer_id": ONE}
    assert one.body["model_version"] == service.first
    assert one.body["event_time"] == EVENT_TIME
    many = service.predict_for(*CUSTOMERS)
    scored = service.registry.champion(MODEL).score([FEATURES[each] for each in CUSTOMERS])
    assert [each["outputs"] for each in many] == scored
    assert many[0]["outputs"] == one.body["outputs"]
    assert len({each["prediction_id"] for each in many}) == len(CUSTOMERS)


def test_features_that_are_given_come_to_what_the_same_features_online_do(service):
    (online,) = service.predict_for(ONE)
    given = service.predict({"features": FEATURES[ONE]})
    assert given.body["outputs"] == online["outputs"]
    assert (given.body["entity"], given.body["event_time"]) == (None, None)
    rest = {name: value for name, value in FEATURES[OTHER].items() if name != "recency_days"}
    mixed = service.predict({"entity": {"customer_id": ONE}, "features": rest})
    wanted = {**FEATURES[OTHER], "recency_days": FEATURES[ONE]["recency_days"]}
    assert mixed.body["outputs"] == service.predict({"features": wanted}).body["outputs"]


def test_an_entity_that_is_not_known_has_an_answer_of_its_own(service):
    unknown = {"entity": {"customer_id": "nobody"}}
    alone = service.predict(unknown)
    assert alone.status == 404
    assert (alone.body["found"], alone.body["entity"]) == (False, {"customer_id": "nobody"})
    among = service.predict([unknown, {"entity": {"customer_id": ONE}}])
    assert among.status == 200
    assert [each["found"] for each in among.body] == [False, True]


KNOWN = {"entity": {"customer_id": ONE}}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**KNOWN, "features": {"recency_days": "soon"}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"recency_days": None}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"recency_days": float("nan")}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"recency_days": 1e300}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"recency_days": 10**400}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"recency_days": [1]}}, ["features", "recency_days"]),
        ({**KNOWN, "features": {"loyalty_tier": 1}}, ["features", "loyalty_tier"]),
        ({**KNOWN, "features": {"recency": 1}}, ["features", "recency"]),
        ({"features": {"tenure_days": 1}}, ["features", "recency_days"]),
        ({"entity": {"customer_id": 12_000}}, ["entity", "customer_id"]),
        ({"entity": {"customer_id": "\ud800"}}, ["entity", "customer_id"]),
        ({"entity": {}}, ["entity", "customer_id"]),
        ({"entity": {"customer_id": ONE, "sku": "1"}}, ["entity", "sku"]),
        ([KNOWN] * 70 + [{"entity": {"customer": ONE}}], [70, "entity", "customer"]),
        ({**KNOWN, "feature": {}}, ["feature"]),
        ([KNOWN] * 1_001, []),
        ([], []),
        ({}, []),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_field(service, body, place):
    answer = service.predict(body)
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"] == ["body", *place]
    assert answer.body["detail"][0]["msg"]


def test_what_is_no_request_at_all_is_refused(service):
    assert service.predict(b"{").status == 422
    assert service.predict(b'{"entity": ' + b"[" * 100_000).status in (400, 422)
    assert service.begin(("Content-Length", "3000000")) == 413
    assert service.begin(("Transfer-Encoding", "chunked")) == 411
    assert service.predict({}, model="nobody").status == 404
    assert service.ask("GET", "/healthz").status == 200


def test_the_models_are_told_with_what_they_take(service):
    (told,) = service.ask("GET", "/models").body
    assert (told["name"], told["champion"], told["entity"]) == (
        MODEL,
        service.first,
        ["customer_id"],
    )
    tier = next(each for each in told["inputs"] if each["name"] == "loyalty_tier")
    assert (tier["categories"][0], tier["nullable"]) == ("none", False)
    described = service.ask("GET", "/openapi.json").body
    assert {"/models/{name}/predict", "/predictions", "/readyz"} <= described["paths"].keys()


def test_a_promotion_and_a_rollback_are_followed_and_no_request_fails(service):
    ended, statuses, versions = Event(), [], []

    def go_on() -> None:
        while not ended.is_set():
            answer = service.predict({"entity": {"customer_id": ONE}})
            statuses.append(answer.status)
            versions.append(answer.body["model_version"])

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(go_on) for _ in range(2)]
        try:
            service.registry.promote(MODEL, service.second, "a test", "better")
            until(lambda: versions[-1:] == [service.second])
            service.registry.rollback(MODEL, "a test", "worse")
            until(lambda: versions[-1:] == [service.first])
        finally:
            ended.set()
        for each in asking:
            each.result()
    assert {*statuses} == {200}
    assert {*versions} == {service.first, service.second}
    assert service.metric("aquifer_model_swaps_total") >= 2


def test_the_challenger_scores_in_the_shadow_and_answers_nobody(service):
    service.registry.alias(MODEL, CHALLENGER, service.second)
    until(lambda: service.ask("GET", "/models").body[0]["challenger"] == service.second)
    (answer,) = service.predict_for(ONE)
    assert answer["model_version"] == service.first

    def beside() -> list[dict[str, Any]]:
        told = events(service).values()
        return [each for each in told if each["shadows"] == answer["prediction_id"]]

    until(beside)
    (shadow,) = beside()
    (scored,) = service.registry.scorer(MODEL, service.second).score([FEATURES[ONE]])
    assert (shadow["served_by"], shadow["model_version"]) == ("shadow", service.second)
    assert json.loads(shadow["outputs"]) == scored
    assert service.metric("aquifer_model_shadow_difference_count") >= 1
    service.registry.alias(MODEL, CHALLENGER, service.first)


def damaged(service: Service) -> str:
    """A version whose artifact is not what was logged."""
    registry = service.registry
    version = register(registry, graph(10))
    source = registry.client.get_model_version(MODEL, version).source
    stored = Path(registry.client.get_logged_model(source.rpartition("/")[2]).artifact_location)
    (stored / "model.onnx").write_bytes(b"no graph")
    return version


def lost(service: Service) -> str:
    """A version whose artifact is gone."""
    registry = service.registry
    version = register(registry, graph(10))
    source = registry.client.get_model_version(MODEL, version).source
    shutil.rmtree(registry.client.get_logged_model(source.rpartition("/")[2]).artifact_location)
    return version


def comes_to_nan(service: Service) -> str:
    """A version that comes to NaN."""
    return register(service.registry, without_number(graph(10)))


@pytest.mark.parametrize(
    ("make", "said"),
    [(damaged, "checksum"), (lost, "cannot be used"), (comes_to_nan, "no number")],
    ids=["damaged", "lost", "NaN"],
)
def test_a_version_that_cannot_be_used_leaves_the_champion_serving(service, make, said):
    version = make(service)
    for alias in (CHALLENGER, CHAMPION):
        service.registry.alias(MODEL, alias, version)
        until(lambda: said in service.problem())
        assert f"version {version}" in service.problem()
        assert service.champion() == service.first
        assert service.ready()
        service.registry.alias(MODEL, alias, service.first)
        until(lambda: not service.problem())


def test_a_prediction_that_is_no_number_is_no_answer_and_is_counted(service):
    version = register(service.registry, without_number_above(graph(10), 1_000))
    service.registry.promote(MODEL, version, "a test", "by force")
    until(lambda: service.champion() == version)
    answer = service.predict({"features": {**FEATURES[ONE], "recency_days": 2_000}})
    assert answer.status == 500
    assert f"{MODEL} {version} predicts a probability that is no number" in answer.body["detail"]
    assert service.metric("aquifer_model_not_finite_total") == 1
    service.registry.rollback(MODEL, "a test", "no number")
    until(lambda: service.champion() == service.first)


def test_without_the_registry_it_serves_what_it_has_and_says_so(service):
    database = service.home / "mlflow" / "mlflow.db"
    away = database.with_name("away.db")
    database.rename(away)
    until(lambda: "is not there" in service.problem("registry"))
    assert service.champion() == service.first
    assert service.ready()
    assert not database.exists()
    away.rename(database)
    until(lambda: not service.problem("registry"))


def test_overload_is_shed_and_every_request_answered(service):
    batch = [{"entity": {"customer_id": each}} for each in CUSTOMERS]
    answers = service.predict_at_once(batch, SENT_AT_ONCE)
    statuses = [each.status for each in answers]
    assert {*statuses} == {200, 503}
    assert all(each.headers["Retry-After"] for each in answers if each.status == 503)
    assert service.metric("aquifer_model_requests_shed_total") == statuses.count(503)
    assert service.predict_for(ONE)


def test_predictions_reach_the_log_and_silver_exactly_as_answered(service, tmp_path):
    answers = service.predict_for(ONE, OTHER)
    answers.append(service.predict({"features": FEATURES[ONE]}).body)
    told = arrived(service, *(each["prediction_id"] for each in answers))
    assert [json.loads(each["outputs"]) for each in told] == [each["outputs"] for each in answers]
    assert json.loads(told[0]["inputs"]) == FEATURES[ONE]
    world = Streams(tmp_path)
    world.log = EmbeddedEventLog(service.home / "events")
    advanced = world.take_in(TOPIC)
    assert (advanced.quarantined, advanced.duplicates) == (0, 0)
    rows = {row["event_id"]: row for row in world.rows("silver.model_predictions")}
    assert rows.keys() == events(service).keys()
    for answer in answers:
        row = rows[answer["prediction_id"]]
        assert json.loads(row["outputs"]) == answer["outputs"]
        assert row["event_time"].isoformat()[:26] == answer["predicted_at"][:26]
        assert (row["model_version"], row["served_by"]) == (answer["model_version"], "service")
    world.log.close()


ISOLATED = """
import runpy, sys
sys.path.append(sys.argv[1])
sys.argv = sys.argv[2:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"aquifer", "assets", "resources", "mlflow", "dagster", "pandas"}, loaded
"""


@pytest.fixture(scope="module")
def bundle(service, tmp_path_factory) -> Path:
    return export(service.registry, MODEL, tmp_path_factory.mktemp("edge") / "bundle")


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    return only(tmp_path_factory.mktemp("packages") / "only", ["numpy", "onnxruntime"])


def edge(
    bundle: Path, packages: Path, *arguments: str, lines: str = ""
) -> subprocess.CompletedProcess:
    """The edge's scorer in a process that can import numpy and onnxruntime alone."""
    command = [sys.executable, "-I", "-S", "-c", ISOLATED, str(packages), str(bundle / "edge.py")]
    return subprocess.run(
        [*command, *arguments], input=lines, capture_output=True, text=True, env={}, timeout=60
    )


def asked(*customers: str) -> str:
    return "".join(
        json.dumps({"entity": {"customer_id": each}, "features": FEATURES[each]}) + "\n"
        for each in customers
    )


def test_the_edge_scores_as_the_service_does_with_numpy_and_onnxruntime_alone(
    service, bundle, packages
):
    found = edge(bundle, packages, lines=asked(*CUSTOMERS))
    assert (found.returncode, found.stderr) == (0, "")
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    served = service.predict_for(*CUSTOMERS)
    assert [each["entity"] for each in answers] == [each["entity"] for each in served]
    apart = [
        abs(one["outputs"]["probability"] - other["outputs"]["probability"])
        for one, other in zip(answers, served, strict=True)
    ]
    assert max(apart) <= 1e-5


def test_the_edge_names_the_field_that_it_cannot_take_and_goes_on(bundle, packages, tmp_path):
    lines = tmp_path / "readings.jsonl"
    broken = {"features": {**FEATURES[ONE], "recency_days": "soon"}}
    lines.write_text(f"{json.dumps(broken)}\nno JSON\n{asked(ONE)}")
    found = edge(bundle, packages, str(lines))
    first, second, third = map(json.loads, found.stdout.splitlines())
    assert found.returncode == 1
    assert first["field"] == "recency_days"
    assert "JSON object" in second["error"]
    assert third["outputs"]


def test_predictions_of_the_edge_wait_for_a_service_that_is_away_and_arrive_once(
    service, bundle, packages, tmp_path
):
    spool = tmp_path / "spool.db"
    forwarding = ["--spool", str(spool), "--forward"]
    nowhere = f"http://127.0.0.1:{free_port()}"
    away = edge(bundle, packages, *forwarding, nowhere, lines=asked(*CUSTOMERS[:20]))
    assert away.returncode == 0
    assert f"20 predictions wait in {spool}" in away.stderr
    assert [*tmp_path.iterdir()] == [spool]
    kept = tmp_path / "kept.db"
    shutil.copy(spool, kept)
    there = f"http://127.0.0.1:{service.port}"
    assert edge(bundle, packages, *forwarding, there, lines=asked(ONE)).stderr == ""
    ids = [json.loads(line)["prediction_id"] for line in away.stdout.splitlines()]
    told = arrived(service, *ids)
    assert {each["served_by"] for each in told} == {"edge"}
    assert edge(bundle, packages, "--spool", str(kept), "--forward", there).stderr == ""
    world = Streams(tmp_path / "world")
    world.log = EmbeddedEventLog(service.home / "events")
    assert world.take_in(TOPIC).duplicates == len(ids)
    found = [row["event_id"] for row in world.rows("silver.model_predictions")]
    assert len(found) == len({*found})
    assert {*ids} <= {*found}
    world.log.close()


@pytest.mark.parametrize("file", ["model.onnx", "model.json", "scorer.py"])
def test_the_edge_refuses_a_bundle_that_is_damaged(bundle, packages, tmp_path, file):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    with (copy / file).open("ab") as damaged:
        damaged.write(b" ")
    found = edge(copy, packages, lines=asked(ONE))
    assert (found.returncode, found.stdout) == (2, "")
    assert f"{file} is damaged" in found.stderr


def test_a_bundle_is_not_written_over_another(service, bundle):
    exporting = start("model", "export", MODEL, "--to", str(bundle), home=service.home)
    _, said = exporting.communicate(timeout=END_SECONDS)
    assert exporting.returncode == 1
    assert said.startswith(f"aquifer: {bundle} is there already")


def test_a_taken_port_is_one_line(service):
    second = start("model", "serve", "--port", str(service.port), home=service.home)
    _, said = second.communicate(timeout=END_SECONDS)
    assert second.returncode == 1
    assert said.startswith(f"aquifer: port {service.port} of 127.0.0.1 cannot be had")
    assert said.count("\n") == 1


def test_asked_to_end_it_answers_what_was_asked_and_keeps_every_prediction(service):
    answers = service.predict_for(*CUSTOMERS)
    service.process.send_signal(signal.SIGTERM)
    _, said = service.process.communicate(timeout=END_SECONDS)
    assert service.process.returncode == 0
    assert {each["prediction_id"] for each in answers} <= events(service).keys()
    assert "Traceback" not in said
