"""Contracts: what a table promises, written once as a Pandera model.

Belongs here: declaring a contract, and the schemas that follow from it. Does not: its checks as
SQL (`checks`), its JSON Schema (`json_schema`), masking (`masking`), Dagster definitions (`specs`).
"""

import builtins
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Union, get_args, get_origin

import pandera.polars as pandera
import pyarrow as pa
from dagster import TableColumn, TableColumnConstraints, TableConstraints, TableSchema
from pandera.errors import SchemaInitError

from aquifer.column_types import (
    COLUMN_TYPES,
    ColumnType,
    Date,
    Money,
    Timestamp,
    list_of_records,
)
from aquifer.declarations import (
    Field,
    Key,
    TableMetadata,
    days,
    glossary,
    hours,
    minutes,
    pii,
    references,
    seconds,
    table,
)
from aquifer.errors import ContractError

__all__ = [
    "Contract",
    "ContractField",
    "Date",
    "Field",
    "Key",
    "Money",
    "Record",
    "TableMetadata",
    "Timestamp",
    "arrow_schema",
    "column_schema",
    "contract_fields",
    "days",
    "describe",
    "glossary",
    "hours",
    "keys",
    "minutes",
    "pii",
    "references",
    "schema_of",
    "seconds",
    "table",
    "table_metadata",
]


class Record(pandera.DataFrameModel):
    """Fields with their checks: a table's row (`Contract`), or what a list in such a row holds.

    One that cannot be used is refused where it is defined.

    Raises:
        ContractError: a type that no table holds, a check that has no SQL, or something missing;
            the message names contract, field and what to write instead.
    """

    __types__: ClassVar[Mapping[str, ColumnType]] = {}
    __items__: ClassVar[Mapping[str, "type[Record]"]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__module__ == __name__:
            super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]
            return
        # Imported here: it reads contracts, and each contract proves that it can be read.
        from aquifer.contract_rules import refuse_settings, refuse_unusable

        refuse_settings(cls)
        types_of: dict[str, ColumnType] = dict(cls.__types__)
        items: dict[str, type[Record]] = dict(cls.__items__)
        for name, annotation in inspect.get_annotations(cls, eval_str=True).items():
            column_type, nullable, item = _resolve(cls, name, annotation)
            cls.__annotations__[name] = column_type.polars
            field = cls.__dict__.get(name)
            if field is None:
                field = Field()
                setattr(cls, name, field)
                field.__set_name__(cls, name)
            # Pandera reads `| None` as a column that may be absent; here it is a value that may be.
            field.nullable = nullable
            field.nullable_explicit = True
            types_of[field.alias or name] = column_type
            if item:
                items[field.alias or name] = item
        cls.__types__, cls.__items__ = types_of, items
        super().__init_subclass__(**kwargs)  # type: ignore[no-untyped-call]
        refuse_unusable(cls)


class Contract(Record):
    """Base of all contracts: the row of a table, with what holds for the table as a whole."""


@dataclass(frozen=True)
class ContractField:
    """One column of a contract.

    Attributes:
        name: the column's name in the table.
        type: its type in every system.
        nullable: whether a row may come without it.
        description: what it holds; may be empty.
        metadata: of `pii`, `references`, `glossary` and `Key`.
        item: the record that a list in it holds, if it is one.
    """

    name: str
    type: ColumnType
    nullable: bool
    description: str
    metadata: Mapping[str, str]
    item: "builtins.type[Record] | None" = None

    @property
    def spark_type(self) -> str:
        """The type in Spark SQL DDL, such as `decimal(18,4)`."""
        return self.type.spark

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type."""
        return self.type.arrow

    @property
    def is_key(self) -> bool:
        """Whether the column belongs to the table's key."""
        return "key" in self.metadata

    @property
    def pii(self) -> str | None:
        """The kind of personal data, if it is personal."""
        return self.metadata.get("pii")

    @property
    def mask(self) -> str | None:
        """Name of the mask under which the column may be shown, if it is personal."""
        return self.metadata.get("mask")

    @property
    def references(self) -> str | None:
        """The `<layer>.<table>.<column>` whose values it holds, if it is a foreign key."""
        return self.metadata.get("references")

    @property
    def glossary(self) -> str | None:
        """The business term, if it has one."""
        return self.metadata.get("glossary")


@cache
def schema_of(contract: type[Record]) -> pandera.DataFrameSchema:
    """The contract as Pandera's own schema object."""
    try:
        return contract.to_schema()
    except SchemaInitError as error:
        raise ContractError(f"{contract.__name__}: {error}") from error


@cache
def contract_fields(contract: type[Record]) -> tuple[ContractField, ...]:
    """The columns in the order of their definition."""
    return tuple(
        ContractField(
            name,
            contract.__types__[name],
            column.nullable,
            column.description or "",
            column.metadata or {},
            contract.__items__.get(name),
        )
        for name, column in schema_of(contract).columns.items()
    )


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
    """Names of the key's columns; empty for a table without a key."""
    return [field.name for field in contract_fields(contract) if field.is_key]


def describe(contract: type[Contract]) -> str:
    """What the table is, as Markdown: the contract's docstring and grain."""
    text = inspect.cleandoc(contract.__doc__ or "")
    return f"{text}\n\nGrain: {table_metadata(contract).grain}."


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
    columns = [
        TableColumn(
            field.name,
            field.spark_type,
            field.description,
            TableColumnConstraints(nullable=field.nullable, unique=key == [field.name]),
            _tags(field),
        )
        for field in contract_fields(contract)
    ]
    together = [f"unique together: {', '.join(key)}"] if len(key) > 1 else []
    return TableSchema(columns, TableConstraints(together))


def _tags(field: ContractField) -> dict[str, str]:
    tags = {"pii": field.pii, "references": field.references, "glossary": field.glossary}
    return {name: value for name, value in tags.items() if value}


def _resolve(cls: type, name: str, annotation: Any) -> tuple[ColumnType, bool, type[Record] | None]:
    nullable = False
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        nullable = len(members) < len(get_args(annotation))
        annotation = members[0] if len(members) == 1 else annotation
    (item,) = get_args(annotation) if get_origin(annotation) is list else (None,)
    if isinstance(item, type) and issubclass(item, Record) and not item.__items__:
        fields = contract_fields(item)
        types_of = {field.name: field.type for field in fields}
        return list_of_records(item.__name__, types_of), nullable, item
    if annotation not in COLUMN_TYPES:
        known = ", ".join(column_type.name for column_type in COLUMN_TYPES.values())
        raise ContractError(
            f"{cls.__name__}.{name} has the type {annotation}, which no table can hold; "
            f"use one of {known}, a list of a Record, or one of them with `| None`"
        )
    if name.startswith("_"):
        raise ContractError(
            f"{cls.__name__}.{name}: names with a leading _ are the platform's; use another"
        )
    return COLUMN_TYPES[annotation], nullable, None
