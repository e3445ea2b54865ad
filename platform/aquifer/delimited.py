"""Delimited files, read as they may come.

Belongs here: compression, encodings, quoting and headers. Does not: what a value means (silver).
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Sequence

import pyarrow as pa

from aquifer.errors import SourceError

EXTRA = "_extra"
ROW = "_row"

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
    text = _text(_decompressed(content, name), name)
    records = csv.reader(io.StringIO(text, newline=""), strict=False)
    try:
        header = next(records, [])
        rows = [record for record in records if record]
    except csv.Error as error:
        raise SourceError(
            f"{name}: record {records.line_num}: {error}; correct the file"
        ) from error
    if not any(cell.strip() for cell in header):
        return _table(columns, [[] for _ in columns], [])
    places = _places(header, name, columns)
    width = len(header)
    values = [[record[i] if i < len(record) else None for record in rows] for i in places]
    beyond = [i for i in range(width) if i not in places]
    plain = not beyond
    extra = [
        None if plain and len(record) <= width else _extra(record, header, beyond)
        for record in rows
    ]
    return _table(columns, values, extra)


def _table(
    columns: Sequence[str], values: list[list[str | None]], extra: list[str | None]
) -> pa.Table:
    arrays = {name: pa.array(v, pa.string()) for name, v in zip(columns, values, strict=True)}
    rows = pa.array(range(1, len(extra) + 1), pa.int64())
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


def _text(content: bytes, name: str) -> str:
    if b"\x00" in content:
        raise SourceError(f"{name}: it holds zero bytes, so it is no text; deliver it as CSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


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
