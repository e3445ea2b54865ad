"""Masking: nothing personal is shown, and nothing that is shown breaks the Markdown."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aquifer.contract import Contract, Date, Field, Money, Timestamp, hours, pii, table
from aquifer.masking import MASKS, mask, sample_markdown


class Person(Contract):
    """A person."""

    customer_id: str | None = Field(metadata=pii("customer"))
    name: str | None = Field(metadata=pii("name"))
    email: str | None = Field(metadata=pii("email"))
    phone: str | None = Field(metadata=pii("phone"))
    address: str | None = Field(metadata=pii("address"))
    born_on: Date | None = Field(metadata=pii("address"))
    note: str | None

    class Config:
        metadata = table(owner="team:tests", grain="a person", fresh_within=hours(1))


ADA: dict[str, Any] = {
    "customer_id": "17850",
    "name": "Ada Lovelace",
    "email": "ada.lovelace@example.org",
    "phone": "+44 20 7946 0958",
    "address": "12 St James's Square",
    "born_on": date(1815, 12, 10),
    "note": "likes engines",
}


def people(*rows: dict[str, Any]) -> pa.Table:
    schema = pa.schema(
        [
            pa.field(name, pa.date32() if name == "born_on" else pa.string())
            for name in [*ADA, "_seq"]
        ]
    )
    return pa.Table.from_pylist(list(rows), schema)


def test_each_kind_is_shown_as_its_mask() -> None:
    (shown,) = mask(people(ADA), Person).to_pylist()
    assert shown == {
        "customer_id": "#" + shown["customer_id"][1:],
        "name": "A***",
        "email": "a***@example.org",
        "phone": "***58",
        "address": "***",
        "born_on": "***",
        "note": "likes engines",
    }


def test_a_pseudonym_tells_customers_apart_without_naming_them() -> None:
    shown = mask(people(ADA, ADA, ADA | {"customer_id": "17851"}), Person)["customer_id"]
    first, again, other = shown.to_pylist()
    assert first == again != other
    assert "17850" not in first
    assert len(first) == 9


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("phone", "1234", "***"),
        ("phone", "", "***"),
        ("phone", "ext. a", "***"),
        ("email", "ada", "a***"),
        ("email", '"a@b"@example.org', '"***@example.org'),
        ("email", "", "***"),
        ("name", "", "***"),
        ("record", '{"name": "Ada"}', "***"),
    ],
)
def test_a_value_that_is_not_what_it_should_be_gives_nothing_away(
    kind: str, value: str, shown: str
) -> None:
    assert MASKS[kind](value) == shown


def test_a_missing_value_stays_missing() -> None:
    nobody = dict.fromkeys(ADA)
    assert mask(people(nobody), Person).to_pylist() == [nobody]


def test_columns_that_the_contract_does_not_name_are_left_out() -> None:
    assert "_seq" not in mask(people(ADA), Person).column_names


def test_a_sample_shows_the_first_rows_masked() -> None:
    text = sample_markdown(people(*[ADA] * 9), Person, rows=3)
    header, rule, *rows = text.splitlines()
    assert header == "| customer_id | name | email | phone | address | born_on | note |"
    assert rule == "| --- | --- | --- | --- | --- | --- | --- |"
    assert len(rows) == 3
    assert "| A*** | a***@example.org | ***58 | *** | *** | likes engines |" in rows[0]


def test_a_sample_of_no_rows_is_empty() -> None:
    assert sample_markdown(people(), Person) == ""


def test_a_sample_shows_every_type() -> None:
    class Typed(Contract):
        """A row."""

        price: Money
        at: Timestamp
        files: list[str]

        class Config:
            metadata = table(owner="team:tests", grain="a row", fresh_within=hours(1))

    rows = pa.table(
        {
            "price": pa.array([Decimal("2.5500")], pa.decimal128(18, 4)),
            "at": pa.array([datetime(2010, 12, 1, 8, 26, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "files": [["a|b"]],
        }
    )
    last = sample_markdown(rows, Typed).splitlines()[-1]
    assert last == "| 2.5500 | 2010-12-01 08:26:00+00:00 | \\['a\\|b'] |"


@given(st.text())
def test_no_text_breaks_out_of_its_cell(text: str) -> None:
    lines = sample_markdown(people(ADA | {"note": text}), Person).splitlines()
    assert len(lines) == 3
    # Escapes come in pairs, so what is left of | after taking them out ends a cell.
    bare = lines[2].replace("\\\\", "").replace("\\|", "").replace("\\<", "")
    assert bare.count("|") == 8
    assert "<" not in bare


def test_a_long_text_is_cut() -> None:
    last = sample_markdown(people(ADA | {"note": "x" * 500}), Person).splitlines()[-1]
    assert last.endswith(" " + "x" * 77 + "... |")
