"""Only files that are written whole are read."""

import os
import time

import pytest

from aquifer.errors import SettingError
from aquifer.landing import LandingFolder, deliver


def put(folder, name: str, content: bytes = b"x", age: float = 60) -> None:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age, time.time() - age))


def names(folder) -> list[str]:
    return [file.name for file in LandingFolder(folder).files()]


def test_unfinished_and_hidden_names_are_ignored(tmp_path):
    for name in ("a.csv", "b.csv.part", "c.tmp", ".d.csv", "e.txt", "f.csv.gz"):
        put(tmp_path, name)
    assert names(tmp_path) == ["a.csv", "f.csv"]


def test_a_file_that_was_just_written_waits(tmp_path):
    put(tmp_path, "a.csv", age=60)
    put(tmp_path, "b.csv", age=-5)
    assert names(tmp_path) == ["a.csv"]


def test_a_file_of_before_the_clock_was_set_back_does_not_wait_for_its_time(tmp_path):
    unchanged = LandingFolder(tmp_path).signature()
    put(tmp_path, "a.csv", age=-7_200)
    assert names(tmp_path) == ["a.csv"]
    assert LandingFolder(tmp_path).signature() != unchanged


def test_a_file_and_its_compressed_twin_are_one_the_later_counts(tmp_path):
    put(tmp_path, "a.csv", b"old", age=90)
    put(tmp_path, "a.csv.gz", b"new", age=60)
    assert [file.content for file in LandingFolder(tmp_path).files()] == [b"new"]


def test_a_folder_without_files_is_named(tmp_path):
    with pytest.raises(SettingError, match="holds no"):
        LandingFolder(tmp_path).check()
    with pytest.raises(SettingError, match="does not exist"):
        LandingFolder(tmp_path / "absent").check()


def test_delivering_again_delivers_nothing(tmp_path):
    source, landing = tmp_path / "source", tmp_path / "landing"
    source.mkdir()
    put(source, "a.csv")
    assert (deliver(source, landing), deliver(source, landing)) == (1, 0)
    put(source, "a.csv", b"other")
    assert deliver(source, landing) == 1
