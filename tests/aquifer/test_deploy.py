"""What is deployed is what is tested: the commands, settings and images that `deploy` describes."""

import os
import re
import shlex
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
import yaml
from dagster._cli.api import grpc_command

from aquifer import cli
from resources import environment

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
IN_IMAGE = "/opt/aquifer/"
SCRIPTS = {path.name: path for path in (DEPLOY / "bin").iterdir()}
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]

COMPOSE = yaml.safe_load(re.sub(r"\$\{\w+:\?\}", "sesame", (DEPLOY / "compose.yaml").read_text()))
SERVICES = COMPOSE["services"]
VALUES = yaml.safe_load((DEPLOY / "values.yaml").read_text())
(CODE_SERVER,) = VALUES["dagster-user-deployments"]["deployments"]

DOCKERFILE = [
    line.partition(" ")
    for line in re.sub(
        r"\\\n\s*", "", re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    ).splitlines()
    if line
]
"""Its instructions: their names and, last, their arguments."""


def instructions(name: str) -> list[str]:
    return [arguments for each, _, arguments in DOCKERFILE if each == name]


def settings(code_server: dict) -> dict[str, str]:
    """The environment of the chart's code server; what a secret holds is some URL."""
    secret = "postgresql://aquifer:sesame@postgres:5432/any"
    return {entry["name"]: entry.get("value", secret) for entry in code_server["env"]}


CLUSTERS = {"compose": SERVICES["aquifer"]["environment"], "chart": settings(CODE_SERVER)}


def test_every_server_is_a_service_that_runs_its_script():
    run = {
        name: service["command"]
        for name, service in SERVICES.items()
        if service["build"]["target"] == "servers"
    }
    assert run == {name: [f"{IN_IMAGE}deploy/bin/{name}"] for name in SCRIPTS}


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_can_be_run(name):
    assert os.access(SCRIPTS[name], os.X_OK)
    subprocess.run(["sh", "-n", SCRIPTS[name]], check=True)


def test_the_platform_is_served_by_its_own_command():
    assert "command" not in SERVICES["aquifer"]
    command, name, *arguments = yaml.safe_load(instructions("CMD")[-1])
    assert command == "aquifer"
    typer.main.get_command(cli.app).commands[name].make_context(name, arguments)


def test_the_connector_is_registered_by_a_module_of_the_project():
    python, option, module, *_ = SERVICES["connector"]["command"]
    assert (python, option) == ("python", "-m")
    assert find_spec(module)


def test_the_chart_serves_what_the_workspace_names():
    (location,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    assert CODE_SERVER["name"] == location["python_module"]["location_name"]
    assert CODE_SERVER["dagsterApiGrpcArgs"] == ["-m", location["python_module"]["module_name"]]
    port = ["-p", str(CODE_SERVER["port"])]
    grpc_command.make_context("grpc", [*port, *CODE_SERVER["dagsterApiGrpcArgs"]])


@pytest.mark.parametrize("cluster", sorted(CLUSTERS))
def test_a_cluster_has_the_settings_that_it_needs(cluster):
    assert CLUSTERS[cluster]["AQUIFER_ENV"] == "cluster"
    assert environment.resources(CLUSTERS[cluster])
    assert CLUSTERS[cluster].keys() == CLUSTERS["compose"].keys()


def test_every_setting_is_one_that_the_sources_read():
    places = [PROJECT / "platform", PROJECT / "resources", DEPLOY]
    sources = [path for place in places for path in place.rglob("*.py")]
    code = "".join(path.read_text() for path in (*sources, *SCRIPTS.values()))
    read = set(re.findall(r"\b[A-Z_]+\b", code))
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    given |= {assigned.partition("=")[0] for assigned in instructions("ENV")}
    # But for what Spark's own scripts read.
    assert (given | settings(CODE_SERVER).keys()) - read == {"SPARK_DAEMON_MEMORY"}


def test_services_are_whole():
    targets = {arguments.rpartition(" ")[2] for arguments in instructions("FROM")}
    for service in SERVICES.values():
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["build"]["target"] in targets
        assert service["image"].endswith(f":{VERSION}")
        assert service["mem_limit"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert {name.partition(":")[0] for name in service.get("volumes", [])} <= COMPOSE[
            "volumes"
        ].keys()
        for name in service.get("depends_on", {}):
            assert "healthcheck" in SERVICES[name]
    assert CODE_SERVER["image"]["tag"] == VERSION


def test_images_are_pinned_and_run_by_nobody_special():
    stages: dict[str, str] = {}
    for name, _, arguments in DOCKERFILE:
        if name == "FROM":
            image, _, stage = arguments.partition(" AS ")
            assert image in stages or re.fullmatch(r"\w+:\d+\.\d+\.\d+-[\w-]+", image)
            stages[stage] = stages.get(image, "root")
        elif name == "USER":
            stages[stage] = arguments
    assert {stages[service["build"]["target"]] for service in SERVICES.values()} == {"1000"}
    assert not instructions("ADD")
    for command in instructions("RUN"):
        if "apt-get install" in command:
            assert "--no-install-recommends" in command
            assert "rm -rf /var/lib/apt/lists/*" in command
        if "pip install" in command:
            assert "--no-deps --require-hashes" in command or "--no-deps --editable ." in command


def test_images_are_made_of_files_that_are_there_and_of_no_secrets():
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert "**/.env" in ignored
    for line in ignored:
        assert not line.startswith("!") or (PROJECT / line[1:]).exists()
    for copied in instructions("COPY"):
        *sources, _ = shlex.split(copied)
        assert all((PROJECT / source).exists() for source in sources)


def test_the_image_has_the_packages_that_tests_run_on():
    pins = {
        lock: set(re.findall(r"^[\w.-]+==[^ ;]+", (PROJECT / lock).read_text(), flags=re.M))
        for lock in ("requirements.lock", "requirements-dev.lock", "deploy/requirements.lock")
    }
    assert pins["requirements.lock"] <= pins["deploy/requirements.lock"]
    assert pins["deploy/requirements.lock"] <= pins["requirements-dev.lock"]


def test_the_chart_remembers_as_long_as_the_embedded_instance():
    instance = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
    chart = VALUES["retention"]
    assert instance["retention"] == {
        "schedule": {"purge_after_days": chart["schedule"]["purgeAfterDays"]},
        "sensor": {"purge_after_days": chart["sensor"]["purgeAfterDays"]},
        "auto_materialize": {"purge_after_days": chart["autoMaterialize"]["purgeAfterDays"]},
    }
    monitoring = VALUES["dagsterDaemon"]["runMonitoring"]
    assert monitoring["pollIntervalSeconds"] == instance["run_monitoring"]["poll_interval_seconds"]
