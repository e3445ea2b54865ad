"""Files are read as they may come."""

import gzip

import pytest

from aquifer.delimited import IncompleteFile, read_delimited
from aquifer.errors import SourceError

COLUMNS = ["No", "Text"]


def read(content: bytes) -> list[tuple]:
    rows = read_delimited(content, "a.csv", COLUMNS)
    return [(row["No"], row["Text"], row["_extra"]) for row in rows.to_pylist()]


@pytest.mark.parametrize(
    "content",
    [
        b"No,Text\n1,a\n",
        b"No,Text\r\n1,a\r\n",
        b"\xef\xbb\xbfNo,Text\n1,a\n",
        b"No,Text\n1,a",
        b"Text,No\na,1\n",
        b" no ,TEXT\n1,a\n\n",
        gzip.compress(b"No,Text\n1,a\n"),
    ],
    ids=["plain", "crlf", "bom", "no last line end", "other order", "header case", "gzip"],
)
def test_the_same_record_however_it_is_written(content):
    assert read(content) == [("1", "a", None)]


def test_quoted_commas_and_newlines_are_text():
    assert read(b'No,Text\n1,"a, ""b""\nc"\n') == [("1", 'a, "b"\nc', None)]


def test_latin_1_is_read_where_utf_8_fails():
    assert read("No,Text\n1,café\n".encode("latin-1")) == [("1", "café", None)]
    assert read("No,Text\n1,café\n".encode()) == [("1", "café", None)]


def test_what_is_beyond_the_columns_is_kept():
    assert read(b"No,Text,More\n1,a,x\n2,b,y,z\n") == [
        ("1", "a", '{"More": "x"}'),
        ("2", "b", '{"": "z", "More": "y"}'),
    ]


def test_a_short_record_has_nulls():
    assert read(b"No,Text\n1\n") == [("1", None, None)]


@pytest.mark.parametrize(
    "content",
    [b"", b"No,Text\n", gzip.compress(b"")],
    ids=["nothing", "header", "compressed nothing"],
)
def test_an_empty_file_has_no_rows(content):
    assert read(content) == []


def test_a_missing_column_is_named_with_its_file():
    with pytest.raises(SourceError, match=r"a\.csv: column Text is missing"):
        read(b"No,Other\n1,a\n")


def test_a_truncated_gzip_is_incomplete():
    with pytest.raises(IncompleteFile, match=r"a\.csv"):
        read(gzip.compress(b"No,Text\n" + b"1,a\n" * 1000)[:-12])


@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", b"\x1f\x8bnonsense" + bytes(30)], ids=["zeros", "no gzip"]
)
def test_what_is_no_text_is_refused_by_name(content):
    with pytest.raises(SourceError, match=r"a\.csv"):
        read(content)


def test_a_file_of_many_records_is_read_like_a_small_one():
    count = 150_000
    lines = [f"{n},Moss\n" for n in range(1, count + 1)]
    # A blank line is no record; a record that is too short, and one that is too long, are.
    lines[70_000:70_000] = ["\n"]
    lines[-2:] = ["short\n", "long,Moss,more\n"]
    rows = read_delimited(("No,Text\n" + "".join(lines)).encode(), "a.csv", COLUMNS)
    assert rows["_row"].to_pylist() == list(range(1, count + 1))
    assert rows["No"].to_pylist()[:-2] == [str(n) for n in range(1, count - 1)]
    assert rows["Text"].to_pylist()[-2:] == [None, "Moss"]
    assert rows["_extra"].to_pylist()[-2:] == [None, '{"": "more"}']
