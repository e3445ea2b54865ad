"""Avro schema of a contract: what an event of its kind looks like in Avro.

Belongs here: types. Does not: the contract's checks, which Avro has no words for, and any other
format (`json_schema`).

What `isin` allows stays text. Of an enum, a value that its schema does not know makes the event
unreadable as a whole, and each new value an incompatible change; as text, it fails the check of its
column, and waits in the quarantine to be replayed.
"""

import inspect
from typing import Any

from aquifer.contract import Contract, ContractField, Record, contract_fields
from aquifer.errors import ContractError

NULL = "null"


def avro_schema(contract: type[Contract]) -> dict[str, Any]:
    """One row as an Avro record. A field that may be null comes with null as its default.

    Raises:
        ContractError: a name that Avro does not allow.
    """
    return _record(contract)


def _record(record: type[Record]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": _named(record, record.__name__),
        "doc": inspect.cleandoc(record.__doc__ or ""),
        "fields": [_field(record, field) for field in contract_fields(record)],
    }


def _field(record: type[Record], field: ContractField) -> dict[str, Any]:
    type_: Any = field.type.avro
    if field.item:
        # By its field, as Avro defines a name once, and two fields may hold the same record.
        item = {**_record(field.item), "namespace": field.name}
        type_ = {"type": "array", "items": item}
    described: dict[str, Any] = {"name": _named(record, field.name), "type": type_}
    if field.nullable:
        described |= {"type": [NULL, type_], "default": None}
    if field.description:
        described["doc"] = field.description
    return described


def _named(record: type[Record], name: str) -> str:
    # That it is an identifier, a contract has been held to already.
    if not name.isascii():
        raise ContractError(
            f"{record.__name__}: Avro has no name '{name}'; use letters without accents"
        )
    return name
