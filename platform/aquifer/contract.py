"""Contracts: what a table promises, written once as a Pandera model.

Belongs here: declaring a contract, and what follows from it for a schema. Does not: its checks as
SQL (`checks`), masking (`masking`), Dagster definitions (`specs`).
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Union, get_args, get_origin

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
from dagster import TableColumn, TableColumnConstraints, TableSchema

from aquifer.column_types import COLUMN_TYPES, ColumnType, Date, Money, Timestamp
from aquifer.errors import ContractError

__all__ = [
    "Contract",
    "ContractField",
    "Date",
    "Field",
    "Key",
    "Money",
    "TableMetadata",
    "Timestamp",
    "arrow_schema",
    "column_schema",
    "contract_fields",
    "days",
    "hours",
    "json_schema",
    "keys",
    "pii",
    "references",
    "spark_ddl",
    "table",
    "table_metadata",
]


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def days(count: float) -> timedelta:
    return timedelta(days=count)


@dataclass(frozen=True)
class TableMetadata:
    """What a contract says of the table as a whole.

    Attributes:
        owner: `team:<name>` or an e-mail address.
        grain: what one row is.
        fresh_within: the longest time that the table may go without a materialisation.
        partition_by: the timestamp column by whose month the table is partitioned.
        cluster_by: columns that queries filter on; maintenance sorts the files by them.
        rules: predicates over several columns, by name; Spark SQL that is true for good rows.
        quarantine_share: the share of refused rows of a large batch above which it fails.
    """

    owner: str
    grain: str
    fresh_within: timedelta
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()
    rules: Mapping[str, str] | None = None
    quarantine_share: float = 0.02


def table(
    *,
    owner: str,
    grain: str,
    fresh_within: timedelta,
    partition_by: str | None = None,
    cluster_by: tuple[str, ...] = (),
    rules: Mapping[str, str] | None = None,
    quarantine_share: float = 0.02,
) -> dict[str, Any]:
    """The value of `Config.metadata`; see `TableMetadata`."""
    return {
        "table": TableMetadata(
            owner, grain, fresh_within, partition_by, cluster_by, rules, quarantine_share
        )
    }


def pii(kind: str) -> dict[str, str]:
    """Field metadata: the column holds personal data of this kind, and is masked accordingly."""
    return {"pii": kind}


def references(column: str) -> dict[str, str]:
    """Field metadata: a foreign key to `<layer>.<table>.<column>`."""
    return {"references": column}


def Field(*, metadata: Mapping[str, str] | None = None, **checks: Any) -> Any:
    """A column: Pandera's checks by name (`ge=0`, `isin=[...]`), a description and metadata."""
    return pandera.Field(metadata=dict(metadata or {}), **checks)


def Key(*, metadata: Mapping[str, str] | None = None, **checks: Any) -> Any:
    """A column of the table's key."""
    return Field(metadata={**(metadata or {}), "key": "true"}, **checks)


class Contract(pandera.DataFrameModel):
    """Base of all contracts. A contract that cannot be compiled is refused where it is defined."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        for name, annotation in list(cls.__dict__.get("__annotations__", {}).items()):
            column_type, nullable = _resolve(cls, name, annotation)
            cls.__annotations__[name] = column_type.polars
            field = cls.__dict__.get(name)
            if field is None:
                field = Field()
                setattr(cls, name, field)
                field.__set_name__(cls, name)
            field.nullable = nullable
            field.nullable_explicit = True
        super().__init_subclass__(**kwargs)
        table_metadata(cls)
        # Imported here: checks are compiled from contracts, and each contract proves that its are.
        from aquifer.checks import compile_checks

        compile_checks(cls)


def _resolve(cls: type, name: str, annotation: Any) -> tuple[ColumnType, bool]:
    nullable = False
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        nullable = len(members) < len(get_args(annotation))
        annotation = members[0] if len(members) == 1 else annotation
    if annotation not in COLUMN_TYPES:
        known = ", ".join(sorted(getattr(t, "__name__", str(t)) for t in COLUMN_TYPES))
        raise ContractError(
            f"{cls.__name__}.{name} has the type {annotation}, which no table can hold; "
            f"use one of {known}, or one of them with `| None`"
        )
    return COLUMN_TYPES[annotation], nullable


@dataclass(frozen=True)
class ContractField:
    """One column of a contract, in the types of every system."""

    name: str
    type: ColumnType
    nullable: bool
    description: str
    metadata: Mapping[str, str]

    @property
    def spark_type(self) -> str:
        return self.type.spark

    @property
    def arrow_type(self) -> pa.DataType:
        return self.type.arrow

    @property
    def is_key(self) -> bool:
        return "key" in self.metadata

    @property
    def pii(self) -> str | None:
        return self.metadata.get("pii")

    @property
    def references(self) -> str | None:
        return self.metadata.get("references")


@cache
def schema_of(contract: type[Contract]) -> pandera.DataFrameSchema:
    """The contract as Pandera's own schema object."""
    return contract.to_schema()


@cache
def contract_fields(contract: type[Contract]) -> tuple[ContractField, ...]:
    """The columns in the order of their definition."""
    by_polars = {str(_polars_type(t.polars)): t for t in COLUMN_TYPES.values()}
    return tuple(
        ContractField(
            name,
            by_polars[str(column.dtype.type)],
            column.nullable,
            column.description or "",
            column.metadata or {},
        )
        for name, column in schema_of(contract).columns.items()
    )


def _polars_type(annotation: Any) -> pl.DataType:
    arguments = get_args(annotation)
    return arguments[0](*arguments[1:]) if arguments else annotation()


@cache
def table_metadata(contract: type[Contract]) -> TableMetadata:
    """What the contract says of the table."""
    config = contract.__config__
    metadata = (config.metadata or {}).get("table") if config else None
    if not isinstance(metadata, TableMetadata):
        raise ContractError(
            f"{contract.__name__} does not say who owns it; give its Config "
            "`metadata = table(owner=..., grain=..., fresh_within=...)`"
        )
    return metadata


def keys(contract: type[Contract]) -> list[str]:
    """Names of the key's columns."""
    return [field.name for field in contract_fields(contract) if field.is_key]


def description(contract: type[Contract]) -> str:
    """What the table is, from the contract's docstring and grain."""
    text = (contract.__doc__ or "").strip()
    return f"{text}\n\nGrain: {table_metadata(contract).grain}."


def spark_ddl(contract: type[Contract]) -> str:
    """The columns as Spark SQL DDL."""
    return ", ".join(f"`{field.name}` {field.spark_type}" for field in contract_fields(contract))


def arrow_schema(contract: type[Contract]) -> pa.Schema:
    """The columns as an Arrow schema."""
    return pa.schema(
        [
            pa.field(field.name, field.arrow_type, field.nullable)
            for field in contract_fields(contract)
        ]
    )


def column_schema(contract: type[Contract]) -> TableSchema:
    """The columns as Dagster shows them."""
    key = keys(contract)
    return TableSchema(
        [
            TableColumn(
                field.name,
                field.spark_type,
                field.description,
                TableColumnConstraints(nullable=field.nullable, unique=key == [field.name]),
                {"pii": field.pii} if field.pii else {},
            )
            for field in contract_fields(contract)
        ]
    )


def json_schema(contract: type[Contract]) -> dict[str, Any]:
    """The columns as JSON Schema (draft 2020-12) of one row as an object."""
    fields = contract_fields(contract)
    properties = {}
    for field in fields:
        schema = dict(field.type.json)
        if field.nullable:
            schema["type"] = [schema["type"], "null"]
        if field.description:
            schema["description"] = field.description
        properties[field.name] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": contract.__name__,
        "description": (contract.__doc__ or "").strip(),
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if not field.nullable],
    }
