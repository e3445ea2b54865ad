"""Queries: every value of a result is there, and what cannot be answered is an error."""

import subprocess
import sys

import pytest

from aquifer.lake import Lake
from aquifer.lease import FileLeases
from aquifer.query import Queries, QueryError


def test_who_only_asks_waits_for_no_contracts_to_be_loaded():
    code = "import sys, aquifer.cli, aquifer.query; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandera", "pandas", "pyspark"} & {*done.stdout.split()}


@pytest.fixture
def queries(tmp_path) -> Queries:
    return Queries(Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases")))


def test_columns_of_one_name_are_numbered_apart(queries):
    rows = queries.run("select 1 as a, 2 as a, 3 as a_1, 4 as a, 5 as b").to_pylist()
    assert rows == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4, "b": 5}]


@pytest.mark.parametrize("statement", ["", " ", ";", "-- nothing"])
def test_an_empty_statement_is_an_error(queries, statement):
    with pytest.raises(QueryError, match="is empty; write one like 'select "):
        queries.run(statement)


def test_a_result_without_rows_is_a_result(queries):
    result = queries.run("select 1 as a where false")
    assert (result.column_names, result.num_rows) == (["a"], 0)
