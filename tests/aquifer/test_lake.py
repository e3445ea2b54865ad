"""The lake commits rows and marks together, and only ever adds columns."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from aquifer.errors import SettingError
from aquifer.lake import COMPACTED_BYTES, NOTHING, Lake
from aquifer.lease import FileLeases

SCHEMA = pa.schema([("key", pa.string())])


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(str(tmp_path / "lake"), FileLeases(tmp_path / "leases"))
    lake.ensure("bronze.orders", SCHEMA)
    return lake


def test_marks_are_recorded_with_the_rows(lake):
    assert lake.progress("bronze.orders", "orders/0") == NOTHING
    lake.append("bronze.orders", pa.table({"key": ["a"]}), {"orders/0": 7})
    assert lake.progress("bronze.orders", "orders/0") == 7
    assert lake.read("bronze.orders").num_rows == 1


def test_each_commit_has_a_greater_sequence(lake):
    for key in "ab":
        lake.append("bronze.orders", pa.table({"key": [key]}), {})
    rows = {row["key"]: row["_seq"] for row in lake.read("bronze.orders").to_pylist()}
    assert rows["a"] < rows["b"] == lake.seq("bronze.orders") < lake.next_seq("bronze.orders")


def test_progress_is_recorded_without_rows(lake):
    before = lake.version("bronze.orders")
    assert lake.record("bronze.orders", {"upstream": 3}) == before + 1
    assert lake.progress("bronze.orders", "upstream") == 3
    assert lake.read("bronze.orders").num_rows == 0


def test_a_new_column_is_added_and_none_is_dropped(lake):
    lake.append("bronze.orders", pa.table({"key": ["a"]}), {})
    assert lake.ensure("bronze.orders", pa.schema([("status", pa.string())]))
    assert lake.read("bronze.orders").to_pylist() == [{"key": "a", "_seq": 1, "status": None}]
    assert not lake.ensure("bronze.orders", SCHEMA)


def test_files_are_found_by_each_column_but_those_of_which_an_engine_keeps_no_statistics(lake):
    wide = pa.schema([(f"n{number}", pa.int64()) for number in range(40)])
    flags = [("flag", pa.bool_()), ("raw", pa.binary()), ("month", pa.string())]
    lake.ensure("silver.orders", pa.schema([*wide, *flags]), ["month"])
    lake.ensure("silver.orders", pa.schema([("late", pa.string())]))
    row = {name: [number] for number, name in enumerate(wide.names)}
    rows = pa.table({**row, "flag": [True], "raw": [b"x"], "month": ["m"], "late": ["z"]})
    lake.append("silver.orders", rows, {})
    files = lake.table("silver.orders").get_add_actions(flatten=True).schema.names
    indexed = {name.removeprefix("min.") for name in files if name.startswith("min.")}
    assert indexed == {*wide.names, "late", "_seq"}


def test_a_table_is_named_by_its_layer(lake):
    assert lake.names() == ["bronze.orders"]


def test_a_streamed_table_forgets_its_oldest_commits_and_no_row(lake, tmp_path):
    for number in range(25):
        lake.append("bronze.orders", pa.table({"key": [str(number)]}), {"orders/0": number})
    log = tmp_path / "lake" / "bronze" / "orders" / "_delta_log"
    for file in log.iterdir():
        an_hour_ago = time.time() - 3_600
        os.utime(file, (an_hour_ago, an_hour_ago))
    with ThreadPoolExecutor(1) as other:
        before = other.submit(lake.read, "bronze.orders").result()
        lake.compact("bronze.orders")
        assert len([*log.glob("*.json")]) < 15
        # Also through a handle that has seen commits which are no more.
        for read in (lake.read, lambda name: other.submit(lake.read, name).result()):
            assert read("bronze.orders").sort_by("key") == before.sort_by("key")
    assert lake.progress("bronze.orders", "orders/0") == 24
    lake.append("bronze.orders", pa.table({"key": ["another"]}), {})
    assert lake.read("bronze.orders").num_rows == 26


def test_what_a_full_disk_left_of_a_creation_is_no_table_and_can_be_created(lake, tmp_path):
    (tmp_path / "lake" / "silver" / "orders" / "_delta_log").mkdir(parents=True)
    assert lake.names() == ["bronze.orders"]
    lake.ensure("silver.orders", SCHEMA)
    assert lake.names() == ["bronze.orders", "silver.orders"]


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    lake = Lake(str(tmp_path / "file" / "lake"), FileLeases(tmp_path / "leases"))
    with pytest.raises(SettingError, match=r"cannot write the lake .*/file/lake: Not a directory"):
        lake.check()


def test_files_do_not_grow_however_often_rows_of_them_are_replaced(lake):
    payload = pa.schema([("key", pa.string()), ("payload", pa.binary())])
    lake.ensure("bronze.orders", payload)
    for letter in "abcd":
        # What no compression makes smaller.
        noise = [os.urandom(1_000) for _ in range(1_500)]
        rows = {"key": [f"{letter}{n}" for n in range(1_500)], "payload": noise}
        lake.append("bronze.orders", pa.Table.from_pydict(rows, payload), {})
    for n in range(3):
        changed = {"key": [f"{letter}{n}" for letter in "abcd"], "payload": [b"new"] * 4}
        lake.replace("bronze.orders", pa.Table.from_pydict(changed, payload), "key", {})
    sizes = lake.table("bronze.orders").get_add_actions(flatten=True)["size_bytes"].to_pylist()
    assert sum(sizes) > 5_000_000
    assert max(sizes) < 1.2 * COMPACTED_BYTES
    held = {row["key"]: row["payload"] for row in lake.read("bronze.orders").to_pylist()}
    assert len(held) == 6_000
    assert sum(value == b"new" for value in held.values()) == 12
