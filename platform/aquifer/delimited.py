"""Delimited files, read as they may come.

Belongs here: compression, encodings, quoting and headers. Does not: what a value means (silver).
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from itertools import islice

import pyarrow as pa

from aquifer.errors import SourceError

EXTRA = "_extra"
ROW = "_row"

BLOCK_RECORDS = 65_536
"""How many records stand as Python's objects, many times the size of their text, at a time."""

_GZIP = b"\x1f\x8b"
csv.field_size_limit(16 * 1024 * 1024)


class IncompleteFile(SourceError):
    """A file that ends before its end: it is still being written."""


def read_delimited(content: bytes, name: str, columns: Sequence[str]) -> pa.Table:
    """The records of a comma-separated file with a header, as text.

    Takes gzip or not (told by the content), a byte order mark, any line ends, quoted commas and
    newlines, UTF-8 or else latin-1, columns in any order and in any case.

    Returns:
        The columns asked for (null where a record is too short), `_extra` (a JSON object of what
        the file holds beyond them, else null) and `_row` (1 for the first record).

    Raises:
        IncompleteFile: compressed content that breaks off, or has not begun.
        SourceError: a column is missing, or the file is not text.
    """
    whole = _decompressed(content, name)
    text = io.TextIOWrapper(io.BytesIO(whole), _encoding(whole, name), newline="")
    records = csv.reader(text, strict=False)
    blocks = [_table(columns, [[] for _ in columns], [], 0)]
    try:
        header = next(records, [])
        if not any(cell.strip() for cell in header):
            return blocks[0]
        places = _places(header, name, columns)
        beyond = [i for i in range(len(header)) if i not in places]
        full = filter(None, records)
        while block := list(islice(full, BLOCK_RECORDS)):
            values = [[record[i] if i < len(record) else None for record in block] for i in places]
            extra = [
                None
                if not beyond and len(record) <= len(header)
                else _extra(record, header, beyond)
                for record in block
            ]
            blocks.append(_table(columns, values, extra, sum(map(len, blocks))))
    except csv.Error as error:
        raise SourceError(
            f"{name}: record {records.line_num}: {error}; correct the file"
        ) from error
    return pa.concat_tables(blocks)


def _table(
    columns: Sequence[str],
    values: list[list[str | None]],
    extra: list[str | None],
    before: int,
) -> pa.Table:
    arrays = {name: pa.array(v, pa.string()) for name, v in zip(columns, values, strict=True)}
    rows = pa.array(range(before + 1, before + len(extra) + 1), pa.int64())
    return pa.table({**arrays, EXTRA: pa.array(extra, pa.string()), ROW: rows})


def _decompressed(content: bytes, name: str) -> bytes:
    if name.endswith(".gz") and len(content) < len(_GZIP):
        raise IncompleteFile(f"{name}: the compressed content has not arrived")
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise IncompleteFile(f"{name}: the compressed content breaks off") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{name}: it is not valid gzip ({error}); deliver it again") from error


def _encoding(content: bytes, name: str) -> str:
    if b"\x00" in content:
        raise SourceError(f"{name}: it holds zero bytes, so it is no text; deliver it as CSV")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _places(header: list[str], name: str, columns: Sequence[str]) -> list[int]:
    found = {cell.strip().casefold(): i for i, cell in reversed(list(enumerate(header)))}
    missing = [column for column in columns if column.casefold() not in found]
    if missing:
        raise SourceError(
            f"{name}: column {', '.join(missing)} is missing; the header is {', '.join(header)}"
        )
    return [found[column.casefold()] for column in columns]


def _extra(record: list[str], header: list[str], beyond: list[int]) -> str | None:
    extra = {header[i].strip(): record[i] for i in beyond if i < len(record)}
    if len(record) > len(header):
        extra[""] = ",".join(record[len(header) :])
    return json.dumps(extra, ensure_ascii=False, sort_keys=True) if extra else None
