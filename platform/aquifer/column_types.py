"""Column types: each Python annotation of a contract, in every system that reads the contract."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import polars as pl
import pyarrow as pa

Money = Annotated[Decimal, "decimal(18,4)"]
"""An amount of money or a rate: 18 digits, 4 of them decimal places."""

Timestamp = Annotated[datetime.datetime, "timestamp"]
"""An instant in UTC, with microseconds."""

Date = datetime.date
"""A calendar day."""


@dataclass(frozen=True)
class ColumnType:
    """One type: its Spark SQL name, Arrow type, Pandera annotation and JSON Schema."""

    spark: str
    arrow: pa.DataType
    polars: Any
    json: Mapping[str, Any]


COLUMN_TYPES: Mapping[Any, ColumnType] = {
    str: ColumnType("string", pa.string(), pl.String, {"type": "string"}),
    int: ColumnType("bigint", pa.int64(), pl.Int64, {"type": "integer"}),
    float: ColumnType("double", pa.float64(), pl.Float64, {"type": "number"}),
    bool: ColumnType("boolean", pa.bool_(), pl.Boolean, {"type": "boolean"}),
    Money: ColumnType(
        "decimal(18,4)",
        pa.decimal128(18, 4),
        Annotated[pl.Decimal, 18, 4],
        {"type": "string", "pattern": "^-?[0-9]{1,14}([.][0-9]{1,4})?$"},
    ),
    Timestamp: ColumnType(
        "timestamp",
        pa.timestamp("us", "UTC"),
        Annotated[pl.Datetime, "us", "UTC"],
        {"type": "string", "format": "date-time"},
    ),
    Date: ColumnType("date", pa.date32(), pl.Date, {"type": "string", "format": "date"}),
    list[str]: ColumnType(
        "array<string>",
        pa.list_(pa.string()),
        Annotated[pl.List, pl.String],
        {"type": "array", "items": {"type": "string"}},
    ),
}
