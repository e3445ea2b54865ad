"""Contracts: what follows from one, and what is refused where it is defined."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pytest

from aquifer.contract import (
    Contract,
    Date,
    Field,
    Key,
    Money,
    Timestamp,
    arrow_schema,
    column_schema,
    contract_fields,
    days,
    describe,
    glossary,
    hours,
    keys,
    pii,
    references,
    table,
    table_metadata,
)
from aquifer.errors import ContractError
from aquifer.json_schema import json_schema

TABLE = table(owner="team:sales", grain="a line of an invoice", fresh_within=hours(26))


class InvoiceLine(Contract):
    """One row a line
    of an invoice."""

    line_id: str = Key("hash of the eight values")
    invoice_no: str = Field(str_matches=r"^[AC]?[0-9]{6}$", description="C cancels")
    quantity: int = Field(ne=0, ge=-5)
    unit_price: Money = Field(ge=0)
    net: Money = Field(metadata=glossary("net sales"))
    invoiced_at: Timestamp
    day: Date | None
    ratio: float | None = Field(lt=1)
    flag: bool
    files: list[str]
    kind: str | None = Field(isin=["sale", "return"])
    customer_id: str | None = Field(
        metadata=pii("customer") | references("silver.customers.customer_id")
    )
    class_: str = Field(alias="class", str_length={"min_value": 1})

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a line of an invoice",
            fresh_within=hours(26),
            partition_by="invoiced_at",
            cluster_by=["kind", "customer_id"],
        )


def test_each_type_has_its_form_in_every_system() -> None:
    assert [(f.name, f.spark_type, f.arrow_type, f.nullable) for f in contract_fields(InvoiceLine)][
        2:
    ] == [
        ("quantity", "bigint", pa.int64(), False),
        ("unit_price", "decimal(18,4)", pa.decimal128(18, 4), False),
        ("net", "decimal(18,4)", pa.decimal128(18, 4), False),
        ("invoiced_at", "timestamp", pa.timestamp("us", "UTC"), False),
        ("day", "date", pa.date32(), True),
        ("ratio", "double", pa.float64(), True),
        ("flag", "boolean", pa.bool_(), False),
        ("files", "array<string>", pa.list_(pa.string()), False),
        ("kind", "string", pa.string(), True),
        ("customer_id", "string", pa.string(), True),
        ("class", "string", pa.string(), False),
    ]


def test_a_field_tells_its_key_and_metadata() -> None:
    fields = {field.name: field for field in contract_fields(InvoiceLine)}
    assert keys(InvoiceLine) == ["line_id"]
    assert fields["line_id"].description == "hash of the eight values"
    assert fields["net"].glossary == "net sales"
    customer = fields["customer_id"]
    assert (customer.pii, customer.mask) == ("customer", "customer")
    assert customer.references == "silver.customers.customer_id"
    assert (fields["kind"].pii, fields["kind"].mask, fields["kind"].is_key) == (None, None, False)


def test_a_column_may_be_shown_under_another_mask_than_its_kinds() -> None:
    class Person(Contract):
        """A person."""

        nickname: str = Field(metadata=pii("name", mask="address"))

        class Config:
            metadata = TABLE

    (field,) = contract_fields(Person)
    assert (field.pii, field.mask) == ("name", "address")


def test_table_metadata_and_description_come_from_the_contract() -> None:
    metadata = table_metadata(InvoiceLine)
    assert (metadata.owner, metadata.fresh_within) == ("team:sales", timedelta(hours=26))
    assert metadata.cluster_by == ("kind", "customer_id")
    assert (metadata.partition_by, metadata.quarantine_share) == ("invoiced_at", 0.02)
    assert days(2) == hours(48)
    assert describe(InvoiceLine) == "One row a line\nof an invoice.\n\nGrain: a line of an invoice."


def test_a_row_fits_the_arrow_schema_and_pandera_takes_it() -> None:
    row: dict[str, Any] = {
        "line_id": "1",
        "invoice_no": "C536365",
        "quantity": -1,
        "unit_price": Decimal("2.5500"),
        "net": Decimal("-2.5500"),
        "invoiced_at": datetime(2010, 12, 1, 8, 26, 0, 1, tzinfo=UTC),
        "day": date(2010, 12, 1),
        "ratio": None,
        "flag": True,
        "files": ["a.csv"],
        "kind": None,
        "customer_id": None,
        "class": "x",
    }
    rows = pa.Table.from_pylist([row], arrow_schema(InvoiceLine))
    frame = pl.DataFrame(pl.from_arrow(rows))
    assert InvoiceLine.validate(frame).to_dicts() == [row]


def test_dagster_shows_types_constraints_and_what_is_personal() -> None:
    columns = {column.name: column for column in column_schema(InvoiceLine).columns}
    assert columns["unit_price"].type == "decimal(18,4)"
    assert columns["invoice_no"].description == "C cancels"
    assert columns["line_id"].constraints.unique
    assert not columns["line_id"].constraints.nullable
    assert columns["kind"].constraints.nullable
    assert columns["customer_id"].tags == {
        "pii": "customer",
        "references": "silver.customers.customer_id",
    }


def test_the_columns_of_a_joint_key_are_unique_together_only() -> None:
    class Rate(Contract):
        """A rate."""

        day: Date = Key()
        currency: str = Key()

        class Config:
            metadata = TABLE

    schema = column_schema(Rate)
    assert not any(column.constraints.unique for column in schema.columns)
    assert schema.constraints is not None
    assert schema.constraints.other == ["unique together: day, currency"]


def test_an_event_has_a_json_schema() -> None:
    schema = json_schema(InvoiceLine)
    properties = schema["properties"]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "InvoiceLine"
    assert {"day", "ratio", "kind", "customer_id"}.isdisjoint(schema["required"])
    assert len(schema["required"]) == len(properties) - 4
    assert properties["quantity"] == {"type": "integer", "minimum": -5}
    assert properties["invoice_no"]["pattern"] == "^[AC]?[0-9]{6}$"
    assert properties["kind"] == {"type": ["string", "null"], "enum": ["sale", "return", None]}
    assert properties["ratio"] == {"type": ["number", "null"], "exclusiveMaximum": 1}
    assert properties["class"] == {"type": "string", "minLength": 1}
    assert properties["invoiced_at"] == {"type": "string", "format": "date-time"}
    # Text, whose order means nothing: the contract's `ge=0` stays out.
    assert "minimum" not in properties["unit_price"]


def test_a_contract_may_extend_another() -> None:
    class Returned(InvoiceLine):
        """A line that came back."""

        reason: str | None

    assert [field.name for field in contract_fields(Returned)] == [
        *(field.name for field in contract_fields(InvoiceLine)),
        "reason",
    ]
    assert table_metadata(Returned) == table_metadata(InvoiceLine)
    assert contract_fields(Returned)[:-1] == contract_fields(InvoiceLine)


def define(
    annotations: dict[str, Any] | None = None,
    *,
    doc: str = "A row.",
    metadata: Any = TABLE,
    **body: Any,
) -> type[Contract]:
    """A contract named Mistaken, of one text column `a` unless told otherwise."""
    config = body.pop("Config", type("Config", (), {"metadata": metadata}))
    return type(
        "Mistaken",
        (Contract,),
        {
            "__annotations__": annotations or {"a": str},
            "__doc__": doc,
            "__module__": __name__,
            "Config": config,
            **body,
        },
    )


def test_a_contract_that_nothing_is_wrong_with_is_taken() -> None:
    assert [field.name for field in contract_fields(define())] == ["a"]


@pytest.mark.parametrize(
    "annotation", [dict, Decimal, datetime, list[int], bytes, str | int, "int32"]
)
def test_a_type_that_no_table_holds_is_refused_with_those_that_it_does(annotation: Any) -> None:
    if annotation == "int32":
        annotation = pl.Int32
    supported = r"use one of str, int, float, bool, Money, Timestamp, Date, list\[str\]"
    with pytest.raises(ContractError, match=rf"^Mistaken\.a has the type .*{supported}"):
        define({"a": annotation})


def test_annotations_may_be_postponed() -> None:
    assert [field.spark_type for field in contract_fields(define({"a": "Money | None"}))] == [
        "decimal(18,4)"
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"owner": ""}, "owner is ''; write 'team:<name>' or an e-mail address"),
        ({"owner": "sales"}, "owner is 'sales'"),
        ({"grain": " "}, "grain is missing"),
        ({"fresh_within": timedelta(0)}, "fresh_within is missing"),
        ({"quarantine_share": 2.0}, "quarantine_share is 2.0"),
        ({"cluster_by": ["b"]}, "cluster_by names the column 'b', which it does not have"),
        ({"partition_by": "a"}, "partition_by names 'a', which is no Timestamp or Date column"),
        ({"partition_by": "b"}, "partition_by names 'b'"),
        ({"versions_of": "b"}, "versions_of names the column 'b'"),
        ({"rules": {"a_not_null": "true"}}, "two checks are called 'a_not_null'"),
    ],
)
def test_table_metadata_that_is_missing_or_wrong_is_refused(
    settings: dict[str, Any], said: str
) -> None:
    complete = {"owner": "team:sales", "grain": "a row", "fresh_within": hours(1)}
    with pytest.raises(ContractError) as refused:
        define(metadata=table(**{**complete, **settings}))
    assert str(refused.value).startswith("Mistaken: ")
    assert said in str(refused.value)


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(ContractError) as refused:
        define(doc="", metadata=table())
    for missing in ("docstring", "owner", "grain", "fresh_within"):
        assert missing in str(refused.value)


def test_a_contract_without_a_config_is_refused() -> None:
    with pytest.raises(ContractError, match=r"^Mistaken does not say who owns it; .*table\(owner="):
        define(Config=type("Config", (), {}))


@pytest.mark.parametrize("setting", ["strict", "unique", "owner"])
def test_a_config_setting_that_no_table_keeps_is_refused(setting: str) -> None:
    config = type("Config", (), {"metadata": TABLE, setting: True})
    with pytest.raises(ContractError, match=rf"^Mistaken\.Config sets '{setting}'"):
        define(Config=config)


def _custom(_: Any) -> bool:
    return True


@pytest.mark.parametrize(
    ("check", "body"),
    [
        ("unique_values_eq", {"a": Field(unique_values_eq={"x"})}),
        ("unique", {"a": Field(unique=True)}),
        ("nullable", {"a": Field(nullable=True)}),
        ("spelled_backwards", {"a": Field(spelled_backwards=True)}),
        ("looks_good", {"looks": pandera.check("a", name="looks_good")(_custom)}),
        ("isin", {"looks": pandera.check("a", name="isin")(_custom)}),
        ("adds_up", {"adds": pandera.dataframe_check(name="adds_up")(_custom)}),
    ],
)
def test_a_check_that_has_no_sql_is_refused_by_name(check: str, body: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=rf"^Mistaken.*'{check}' .*cannot be compiled to SQL"):
        define(**body)


def test_check_arguments_that_pandera_refuses_are_refused_in_one_line() -> None:
    with pytest.raises(ContractError, match=r"^Field\(in_range=5\): "):
        Field(in_range=5)


@pytest.mark.parametrize(
    ("annotations", "body", "said"),
    [
        ({"_a": str}, {}, "Mistaken._a: names with a leading _ are the platform's"),
        ({"a": str}, {"a": Field(alias="a b")}, "a column cannot be named 'a b'"),
        ({"a": str}, {"a": Field(alias="_a")}, "a column cannot be named '_a'"),
        ({"a": str, "A": str}, {}, "two columns differ only in upper and lower case"),
        ({"a": str | None}, {"a": Key()}, "a is a key and cannot be null"),
        ({"a": str}, {"a": Field(metadata=pii("shoe"))}, "a has the unknown mask 'shoe'"),
        ({"a": str}, {"b": Field()}, "Mistaken: "),
    ],
)
def test_a_field_that_a_table_cannot_have_is_refused(
    annotations: dict[str, Any], body: dict[str, Any], said: str
) -> None:
    with pytest.raises(ContractError) as refused:
        define(annotations, **body)
    assert str(refused.value).startswith("Mistaken")
    assert said in str(refused.value)


def test_a_reference_names_layer_table_and_column() -> None:
    with pytest.raises(ContractError, match=r"layer\.table\.column"):
        references("customers")
