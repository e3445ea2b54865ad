"""dbt's unit tests of the SCD2 and as-of logic pass on the engine."""

import os

from worlds import ENGINE

from aquifer.dbt_project import DbtProject
from aquifer.engine import register
from aquifer.lake import Lake
from assets import tables
from resources.engine import EngineResource
from resources.lake import LakeResource


def test_dbt_unit_tests_pass(tmp_path):
    resource = LakeResource(root=str(tmp_path / "lake"), leases=str(tmp_path / "leases"))
    lake: Lake = resource.lake
    engine = EngineResource(url=ENGINE, lake=resource)
    for name in tables.gold.contracts:
        lake.ensure(name, tables.gold.schema(name), tables.gold.partition(name))
    for table in tables.silver:
        lake.ensure(table.name, table.schema, table.target.partition)
    register(engine.spark_session, lake, lake.names())
    os.environ["SPARK_REMOTE"] = engine.remote
    project = DbtProject(tables.PROJECT, tmp_path / "dbt")
    results = {
        event["data"]["name"].split("::")[1]: event["data"]["status"]
        for event in project.run(["test", "--select", "test_type:unit"], {"build": 7})
        if event["info"]["name"] == "LogTestResult"
    }
    assert results == {
        "a_customer_changes_with_address_and_tier": "pass",
        "a_fact_points_at_the_versions_of_its_instant": "pass",
        "versions_are_half_open_and_equal_neighbours_are_one": "pass",
    }
