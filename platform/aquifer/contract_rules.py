"""What a contract must have to be used; a contract is held to it where it is defined.

Belongs here: refusing a contract, with every reason at once. Does not: reading one (`contract`).
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from aquifer.checks import compile_checks
from aquifer.contract import Contract, ContractField, Record, contract_fields, table_metadata
from aquifer.declarations import TableMetadata
from aquifer.errors import ContractError
from aquifer.masking import MASKS

_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+")


def refuse_settings(contract: type[Record]) -> None:
    """Raise ContractError if its Config sets more than metadata, which no table would keep."""
    config = contract.__dict__.get("Config")
    for name in vars(config) if config else ():
        if not name.startswith("_") and name != "metadata":
            raise ContractError(
                f"{contract.__name__}.Config sets '{name}', which no table keeps; "
                "set only `metadata = table(...)`"
            )


def refuse_unusable(contract: type[Record]) -> None:
    """Raise ContractError if something is missing, or a check has no SQL."""
    fields = contract_fields(contract)
    problems = [
        *_of_description(contract),
        *(_of_contract(contract, fields) if issubclass(contract, Contract) else ()),
        *_of_fields(fields),
    ]
    if problems:
        raise ContractError(f"{contract.__name__}: {'; '.join(problems)}")
    names = Counter(check.name for check in compile_checks(contract))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ContractError(f"{contract.__name__}: two checks are called '{twice[0]}'; rename one")


def _of_contract(contract: type[Contract], fields: tuple[ContractField, ...]) -> Iterator[str]:
    yield from _of_table(table_metadata(contract))
    yield from _of_named_columns(table_metadata(contract), fields)


def _of_description(contract: type[Record]) -> Iterator[str]:
    if not inspect.cleandoc(contract.__doc__ or ""):
        yield "it has no docstring, which is the table's description"


def _of_table(metadata: TableMetadata) -> Iterator[str]:
    if not _OWNER.fullmatch(metadata.owner):
        yield f"owner is '{metadata.owner}'; write 'team:<name>' or an e-mail address"
    if not metadata.grain.strip():
        yield "grain is missing; say what one row is"
    if metadata.fresh_within <= timedelta(0):
        yield "fresh_within is missing; write it as hours(26) or days(7)"
    if not 0 <= metadata.quarantine_share <= 1:
        yield f"quarantine_share is {metadata.quarantine_share}; write a share from 0 to 1"


def _of_named_columns(metadata: TableMetadata, fields: tuple[ContractField, ...]) -> Iterator[str]:
    types = {field.name: field.spark_type for field in fields}
    for column in metadata.cluster_by:
        if column not in types:
            yield f"cluster_by names the column '{column}', which it does not have"
    if metadata.versions_of and metadata.versions_of not in types:
        yield f"versions_of names the column '{metadata.versions_of}', which it does not have"
    partition = metadata.partition_by
    if partition and types.get(partition) not in {"timestamp", "date"}:
        yield f"partition_by names '{partition}', which is no Timestamp or Date column of it"


def _of_fields(fields: tuple[ContractField, ...]) -> Iterator[str]:
    if not fields:
        yield "it has no columns"
    for field in fields:
        if not field.name.isidentifier() or field.name.startswith("_"):
            yield f"a column cannot be named '{field.name}'; use letters, digits and inner _"
        if field.is_key and field.nullable:
            yield f"{field.name} is a key and cannot be null; leave out `| None`"
        if field.mask and field.mask not in MASKS:
            yield f"{field.name} has the unknown mask '{field.mask}'; use one of {', '.join(MASKS)}"
    if len({field.name.casefold() for field in fields}) < len(fields):
        yield "two columns differ only in upper and lower case, and Spark sees one"
