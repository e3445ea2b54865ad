"""A dbt project is parsed when it has changed, and then for all homes."""

import shutil
from pathlib import Path

import pytest
from conftest import PROJECT

from aquifer.dbt_project import DbtError, DbtProject

SETTINGS = """
name: aquifer
version: 1.0.0
profile: aquifer
flags:
  send_anonymous_usage_stats: false
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "target" / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(SETTINGS)
    shutil.copy(PROJECT / "dbt_project" / "profiles.yml", folder)
    (folder / "models" / "one.sql").write_text("select 1 as n")
    return folder


def test_it_is_parsed_again_only_when_it_has_changed(folder, tmp_path):
    def models(home: str) -> dict[str, str]:
        nodes = DbtProject(folder, tmp_path / home).manifest["nodes"]
        return {node["name"]: node["raw_code"] for node in nodes.values()}

    def parsed() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (folder / "target").iterdir()}

    assert models("a home") == {"one": "select 1 as n"}
    before = parsed()
    assert models("another home") == {"one": "select 1 as n"}
    assert parsed() == before
    (folder / "models" / "one.sql").write_text("select 2 as n")
    assert models("a home") == {"one": "select 2 as n"}


def test_what_hinders_parsing_is_said_in_one_line(folder, tmp_path):
    project = DbtProject(folder, tmp_path / "runs")
    (folder / "target").write_text("in the way")
    with pytest.raises(DbtError, match=r"cannot keep dbt's manifest in .*target: .*; make it"):
        _ = project.manifest
    (folder / "target").unlink()
    (folder / "models" / "one.sql").write_text("select {{ ref('absent') }}")
    with pytest.raises(DbtError, match="cannot parse"):
        _ = project.manifest
