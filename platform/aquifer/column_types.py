"""Column types: each Python annotation of a contract, in every system that reads the contract."""

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

import polars as pl
import pyarrow as pa

from aquifer.engine import literal

Money = Annotated[Decimal, "decimal(18,4)"]
"""An amount of money or a rate: 18 digits, 4 of them decimal places."""

Timestamp = Annotated[datetime.datetime, "timestamp"]
"""An instant in UTC, with microseconds."""

Date = datetime.date
"""A calendar day."""


def _text(value: Any) -> str | None:
    return literal(value) if isinstance(value, str) else None


def _integer(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole and -(2**63) <= value < 2**63 else None


def _real(value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"cast('{float(value)!r}' as double)" if number and not math.isnan(value) else None


def _flag(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else None


def _amount(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    held = amount.is_finite() and abs(amount) < 10**14 and amount == round(amount, 4)
    return f"cast('{amount:f}' as decimal(18,4))" if held else None


def _instant(value: Any) -> str | None:
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        return None
    utc = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return f"timestamp'{utc.isoformat(sep=' ')}Z'"


def _day(value: Any) -> str | None:
    # A datetime is a date in Python, and would silently lose its time.
    day = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    return f"date'{value.isoformat()}'" if day else None


def _none(value: Any) -> str | None:
    return None


@dataclass(frozen=True)
class ColumnType:
    """One type, as each system names it.

    Attributes:
        name: what a contract calls it.
        spark: the type in Spark SQL DDL.
        arrow: the Arrow type.
        polars: the annotation from which Pandera makes its Polars type.
        dtype: that Polars type.
        json: JSON Schema of a value.
        avro: Avro schema of a value; of a list of records, without what it holds.
        literal: writes a Python value as a Spark SQL literal; None for a value that the type
            cannot hold exactly.
        fields: of a list of records, the type of each of their fields.
    """

    name: str
    spark: str
    arrow: pa.DataType
    polars: Any
    dtype: pl.DataType
    json: Mapping[str, Any]
    avro: str | Mapping[str, Any]
    literal: Callable[[Any], str | None]
    fields: Mapping[str, "ColumnType"] = field(default_factory=dict)

    @property
    def unread(self) -> str:
        """The type in Spark SQL DDL before values are read: text, or a list of records of text."""
        texts = ", ".join(f"`{name}`: string" for name in self.fields)
        return f"array<struct<{texts}>>" if texts else "string"


COLUMN_TYPES: Mapping[Any, ColumnType] = {
    str: ColumnType(
        "str", "string", pa.string(), pl.String, pl.String(), {"type": "string"}, "string", _text
    ),
    int: ColumnType(
        "int", "bigint", pa.int64(), pl.Int64, pl.Int64(), {"type": "integer"}, "long", _integer
    ),
    float: ColumnType(
        "float",
        "double",
        pa.float64(),
        pl.Float64,
        pl.Float64(),
        {"type": "number"},
        "double",
        _real,
    ),
    bool: ColumnType(
        "bool",
        "boolean",
        pa.bool_(),
        pl.Boolean,
        pl.Boolean(),
        {"type": "boolean"},
        "boolean",
        _flag,
    ),
    Money: ColumnType(
        "Money",
        "decimal(18,4)",
        pa.decimal128(18, 4),
        Annotated[pl.Decimal, 18, 4],
        pl.Decimal(18, 4),
        # Text, as JSON's numbers are floats to most readers.
        {"type": "string", "pattern": "^-?[0-9]{1,14}([.][0-9]{1,4})?$"},
        {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
        _amount,
    ),
    Timestamp: ColumnType(
        "Timestamp",
        "timestamp",
        pa.timestamp("us", "UTC"),
        Annotated[pl.Datetime, "us", "UTC"],
        pl.Datetime("us", "UTC"),
        {"type": "string", "format": "date-time"},
        {"type": "long", "logicalType": "timestamp-micros"},
        _instant,
    ),
    Date: ColumnType(
        "Date",
        "date",
        pa.date32(),
        pl.Date,
        pl.Date(),
        {"type": "string", "format": "date"},
        {"type": "int", "logicalType": "date"},
        _day,
    ),
    list[str]: ColumnType(
        "list[str]",
        "array<string>",
        pa.list_(pa.string()),
        Annotated[pl.List, pl.String],
        pl.List(pl.String),
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": "string"},
        _none,
    ),
    list[float]: ColumnType(
        "list[float]",
        "array<double>",
        pa.list_(pa.float64()),
        Annotated[pl.List, pl.Float64],
        pl.List(pl.Float64),
        {"type": "array", "items": {"type": "number"}},
        {"type": "array", "items": "double"},
        _none,
    ),
}
"""Every type that a table can hold, by the annotation that a contract uses."""


def list_of_records(name: str, fields: Mapping[str, ColumnType]) -> ColumnType:
    """The type of a list of records, such as the lines of a sale.

    Args:
        name: what the record is called.
        fields: the type of each of its fields.
    """
    inner = ", ".join(f"`{field}`: {type_.spark}" for field, type_ in fields.items())
    struct = pl.Struct({field: type_.dtype for field, type_ in fields.items()})
    return ColumnType(
        f"list[{name}]",
        f"array<struct<{inner}>>",
        pa.list_(pa.struct([pa.field(field, type_.arrow) for field, type_ in fields.items()])),
        Annotated[pl.List, struct],
        pl.List(struct),
        {"type": "array"},
        {"type": "array"},
        _none,
        fields,
    )
