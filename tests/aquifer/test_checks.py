"""Compiled checks against their oracle: Pandera's verdict on the same rows, check by check."""

import math
import os
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors
from pyspark.sql import SparkSession

from aquifer.checks import compile_checks
from aquifer.contract import (
    Contract,
    Date,
    Field,
    Key,
    Money,
    Timestamp,
    contract_fields,
    hours,
    schema_of,
    table,
)
from aquifer.errors import ContractError
from aquifer.patterns import portable

TABLE = table(owner="team:tests", grain="a row", fresh_within=hours(1))
NOON = datetime(2011, 6, 1, 12, tzinfo=UTC)
NOON_ELSEWHERE = datetime(2011, 6, 1, 14, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
HARD_TEXT = 'it\'s \\ "a" `b` %_ \\n é😀 {{ x }} ${spark.app.name}'


class EveryCheck(Contract):
    """Columns are named `<kind>_<n>`; all columns of a kind are given the same values."""

    text_1: str
    text_2: str | None = Field(eq="a")
    text_3: str | None = Field(ne=HARD_TEXT)
    text_4: str | None = Field(gt="a")
    text_5: str | None = Field(le="é")
    text_6: str | None = Field(isin=["", "a", HARD_TEXT])
    text_7: str | None = Field(notin=("a", "😀"))
    text_8: str | None = Field(str_matches=r"^[AC]?[0-9]{6}$")
    text_9: str | None = Field(str_matches=r"^(a|b$|[^0-9]+\.)$")
    text_10: str | None = Field(str_matches=r"^.a?.{0,2}$")
    text_11: str | None = Field(str_contains=r"[0-9]+é?|a$")
    text_12: str | None = Field(str_startswith="a.")
    text_13: str | None = Field(str_endswith="'\n")
    text_14: str | None = Field(str_length=2)
    text_15: str | None = Field(str_length={"min_value": 1})
    text_16: str | None = Field(str_length={"max_value": 3})
    text_17: str | None = Field(str_length=(1, 4))
    text_18: str | None = Field(in_range=("A", "b"))
    text_19: str = Field(str_length={"min_value": 1}, notin=["b"], str_contains="a")
    whole_1: int
    whole_2: int | None = Field(eq=0)
    whole_3: int | None = Field(ne=0)
    whole_4: int | None = Field(gt=2**53)
    whole_5: int | None = Field(ge=-(2**63))
    whole_6: int | None = Field(lt=2**63 - 1)
    whole_7: int | None = Field(le=-1)
    whole_8: int | None = Field(in_range=(0, 3))
    whole_9: int | None = Field(in_range=(0, 3, False, False))
    whole_10: int | None = Field(isin=[1, 2**63 - 1, -(2**63)])
    whole_11: int | None = Field(notin={0, 1})
    real_1: float
    real_2: float | None = Field(eq=0)
    real_3: float | None = Field(ne=0.0)
    real_4: float | None = Field(gt=0.1)
    real_5: float | None = Field(ge=0)
    real_6: float | None = Field(lt=math.inf)
    real_7: float | None = Field(le=-1e-300)
    real_8: float | None = Field(in_range=(-1.5, math.inf))
    real_9: float | None = Field(isin=[0.0, 0.1, math.inf])
    real_10: float | None = Field(notin=[0.0, 0.1])
    money_1: Money
    money_2: Money | None = Field(eq=Decimal("0.1"))
    money_3: Money | None = Field(ne=0)
    money_4: Money | None = Field(gt=Decimal("99999999999999.9998"))
    money_5: Money | None = Field(ge=Decimal("-0.0001"))
    money_6: Money | None = Field(lt=1)
    money_7: Money | None = Field(le=Decimal("0.00010"))
    money_8: Money | None = Field(in_range=(Decimal("-1"), Decimal("0.1")))
    money_9: Money | None = Field(isin=[Decimal("0.1"), Decimal("-1")])
    money_10: Money | None = Field(notin=[0, 1])
    instant_1: Timestamp
    instant_2: Timestamp | None = Field(eq=NOON)
    instant_3: Timestamp | None = Field(gt=NOON)
    instant_4: Timestamp | None = Field(le=NOON_ELSEWHERE)
    instant_5: Timestamp | None = Field(isin=[NOON])
    instant_6: Timestamp | None = Field(lt=datetime.max.replace(tzinfo=UTC))
    day_1: Date
    day_2: Date | None = Field(ne=date(2011, 6, 1))
    day_3: Date | None = Field(in_range=(date(1, 1, 1), date(2011, 6, 1), False, True))
    day_4: Date | None = Field(notin=[date(2011, 6, 1)])
    flag_1: bool
    flag_2: bool | None = Field(eq=True)
    flag_3: bool | None = Field(isin=[False])
    texts_1: list[str]
    texts_2: list[str] | None

    class Config:
        metadata = TABLE


ALPHABET = "aabcAC01269 .'\"`\\%_$|-{}é😀\n\r\t\u0085\u2028\u00a0"
NEGATIVE_NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000000))[0]
TEXTS = (
    st.text(st.sampled_from(ALPHABET), max_size=5)
    | st.text(max_size=8)
    | st.sampled_from(["A123456", "123456", "123456\n", "\n123456", "C1234567", "a.", "a'\n"])
    | st.sampled_from(["a\n", "b", "b\n", HARD_TEXT])
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "whole": st.integers(-(2**63), 2**63 - 1)
    | st.integers(-2, 4)
    | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, -(2**63)]),
    "real": st.floats()
    | st.sampled_from([0.0, -0.0, 0.1, 0.1 + 2**-56, -1e-300, math.nan, NEGATIVE_NAN]),
    "money": st.decimals(-(10**14) + 1, 10**14 - 1, places=4)
    | st.integers(-20_000, 20_000).map(lambda units: Decimal(units).scaleb(-4))
    | st.sampled_from([Decimal("99999999999999.9999"), Decimal("0.1"), Decimal("-1")]),
    "instant": st.datetimes(timezones=st.just(UTC))
    | st.integers(-2, 2).map(lambda micros: NOON + timedelta(microseconds=micros)),
    "day": st.dates() | st.integers(-1, 1).map(lambda days: date(2011, 6, 1 + days + 1)),
    "flag": st.booleans(),
    "texts": st.lists(st.text(max_size=3), max_size=2),
}
ROWS = 60
VALUES = st.fixed_dictionaries(
    {
        kind: st.lists(st.none() | values, min_size=ROWS, max_size=ROWS)
        for kind, values in KINDS.items()
    }
)


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """Sail; or the Spark that AQUIFER_ENGINE names. Far from UTC, which must not matter."""
    url = os.environ.get("AQUIFER_ENGINE", "sail://")
    server = None
    if url == "sail://":
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        url = f"sc://127.0.0.1:{server.listening_address[1]}"
    spark = SparkSession.builder.remote(url).create()
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    yield spark
    spark.stop()
    if server:
        server.stop()


Verdicts = dict[str, set[int]]


def compiled_verdicts(session: SparkSession, contract: type[Contract], rows: pa.Table) -> Verdicts:
    """The rows that fail each compiled check, all checks in one query."""
    checks = compile_checks(contract)
    frame = session.createDataFrame(rows.append_column("_row", pa.array(range(len(rows)))))
    frame.createOrReplaceTempView("rows_to_check")
    columns = ", ".join(f"{check.failure} as `{check.name}`" for check in checks)
    answer = session.sql(f"select _row, {columns} from rows_to_check").toArrow()
    places = answer["_row"].to_pylist()
    assert sorted(places) == list(range(len(rows)))
    verdicts = {}
    for check in checks:
        failed = answer[check.name].to_pylist()
        assert None not in failed, f"{check.name} is neither true nor false for some rows"
        verdicts[check.name] = {row for row, fails in zip(places, failed, strict=True) if fails}
    return verdicts


FIELD_NAMES = {
    "equal_to": "eq",
    "not_equal_to": "ne",
    "greater_than": "gt",
    "greater_than_or_equal_to": "ge",
    "less_than": "lt",
    "less_than_or_equal_to": "le",
}


def pandera_verdicts(contract: type[Contract], rows: pa.Table) -> Verdicts:
    """The rows that fail each check, as Pandera has it."""
    schema = schema_of(contract)
    names = {
        (column, number): f"{column}_{FIELD_NAMES.get(check.name, check.name)}"
        for column, of_column in schema.columns.items()
        for number, check in enumerate(of_column.checks)
    }
    verdicts: Verdicts = {name: set() for name in names.values()}
    for column, of_column in schema.columns.items():
        if not of_column.nullable:
            verdicts[f"{column}_not_null"] = set()
    frame = pl.DataFrame(
        {
            field.name: pl.Series(field.name, rows[field.name].to_pylist(), field.type.dtype)
            for field in contract_fields(contract)
        }
    )
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.select("column", "check", "check_number", "index")
        for column, check, number, index in cases.rows():
            assert index is not None, f"Pandera cannot run {check} on {column}"
            name = f"{column}_not_null" if check == "not_nullable" else names[column, number]
            verdicts[name].add(index)
    return verdicts


def table_of(contract: type[Contract], values: dict[str, list[Any]]) -> pa.Table:
    """Rows for a contract whose columns are named `<kind>_<n>`."""
    return pa.table(
        {
            field.name: pa.array(values[field.name.split("_")[0]], field.arrow_type)
            for field in contract_fields(contract)
        }
    )


def assert_agreement(session: SparkSession, contract: type[Contract], rows: pa.Table) -> Verdicts:
    """Both verdicts are the same, or the values on which they differ are named."""
    compiled, oracle = compiled_verdicts(session, contract, rows), pandera_verdicts(contract, rows)
    assert compiled.keys() == oracle.keys()
    columns = {check.name: check.column for check in compile_checks(contract)}
    differing = {
        name: [rows[columns[name]][row].as_py() for row in compiled[name] ^ oracle[name]]
        for name in compiled
        if compiled[name] != oracle[name]
    }
    assert not differing
    return compiled


def contract_of(**checks: Any) -> type[Contract]:
    """A contract with one nullable text column for each check given."""
    fields = {f"text_{n}": Field(**{name: checks[name]}) for n, name in enumerate(checks)}
    body = {
        "__annotations__": dict.fromkeys(fields, str | None),
        "__doc__": "Text.",
        "__module__": __name__,
        "Config": type("Config", (), {"metadata": TABLE}),
    }
    return type("Texts", (Contract,), {**body, **fields})


# Each example is a query; a wrong verdict names check and rows, so shrinking would gain little.
SLOW = settings(
    max_examples=20,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@SLOW
@given(VALUES)
def test_every_compiled_check_agrees_with_pandera_on_every_row(
    session: SparkSession, values: dict[str, list[Any]]
) -> None:
    rows = table_of(EveryCheck, values)
    assert_agreement(session, EveryCheck, rows)


def test_the_edges_of_each_type_agree_with_pandera(session: SparkSession) -> None:
    edges: dict[str, list[Any]] = {
        "text": [
            "",
            "\n",
            "a",
            "a\n",
            "A123456",
            "A123456\n",
            "\r",
            "\u2028",
            "é",
            "e\u0301",
            "b",
            HARD_TEXT,
        ],
        "whole": [0, 1, -1, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2, 4],
        "real": [0.0, -0.0, math.nan, NEGATIVE_NAN, math.inf, -math.inf, 0.1, 5e-324, -1e-300],
        "money": [
            Decimal(amount)
            for amount in ("0", "1", "-1", "0.0001", "-0.0001", "0.1", "99999999999999.9999")
        ],
        "instant": [
            *(NOON + timedelta(microseconds=micros) for micros in (-1, 0, 1, 2)),
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
        ],
        "day": [date(1, 1, 1), date(2011, 6, 1), date(9999, 12, 31)],
        "flag": [True, False],
        "texts": [[], [""], ["a", None]],
    }
    most = max(len(values) for values in edges.values())
    padded = {kind: values + [None] * (most + 1 - len(values)) for kind, values in edges.items()}
    rows = table_of(EveryCheck, padded)
    compiled = assert_agreement(session, EveryCheck, rows)
    idle = {name for name, failed in compiled.items() if not failed} - {"whole_5_ge"}
    assert not idle, "no row failed these checks, so that nothing was compared"


@settings(SLOW, max_examples=15)
@given(TEXTS, st.lists(TEXTS, min_size=20, max_size=20))
@example("'", ["'", "''", ""])
@example("\\", ["\\", "\\\\", ""])
@example("\\u0041", ["A", "\\u0041"])
@example("%", ["a", "%"])
@example("\\${a}", ["a", "$", "\\"])
def test_any_text_as_a_checks_value_is_taken_literally(
    session: SparkSession, value: str, others: list[str]
) -> None:
    contract = contract_of(
        eq=value, ne=value, isin=[value], str_startswith=value, str_endswith=value
    )
    rows = table_of(contract, {"text": [None, value, *others, *(f"{value}{o}" for o in others)]})
    assert_agreement(session, contract, rows)


ATOMS = st.sampled_from(
    [
        ".",
        "a",
        "b",
        "é",
        "😀",
        " ",
        "'",
        r"\.",
        r"\\",
        r"\$",
        r"\n",
        "$",
        "^",
        "[^a]",
        "[0-9]",
        "[a-c]",
        r"[\].$^]",
        "[^\n]",
        '"',
        "%",
        "_",
    ]
)
QUANTIFIERS = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,}", "{0,2}", "*?"])
PATTERNS = st.recursive(
    st.tuples(ATOMS, QUANTIFIERS).map(lambda p: p[0] if p[0] in "^$" else "".join(p)),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.tuples(inner, inner, QUANTIFIERS).map(lambda p: f"({p[0]}|{p[1]}){p[2]}")
    ),
    max_leaves=6,
)


@settings(SLOW, max_examples=40)
@given(PATTERNS, st.lists(TEXTS, min_size=30, max_size=30))
def test_any_accepted_pattern_agrees_with_pandera(
    session: SparkSession, pattern: str, texts: list[str]
) -> None:
    contract = contract_of(str_matches=f"^{pattern}$", str_contains=pattern)
    rows = table_of(contract, {"text": [None, "a\n", "\n", "\r", "\u2028", "ab", *texts]})
    assert_agreement(session, contract, rows)


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9]+",
        r"^[0-9]+",
        r"^a\$",
        r"^a|b$",
        r"^\d+$",
        r"^\w$",
        r"^\s$",
        r"^\ba$",
        r"^[\d]$",
        r"^\p{L}$",
        r"^\x41$",
        r"^\u0041$",
        r"^(a)\1$",
        r"^(?=a)a$",
        r"^(?!a)b$",
        r"^(?<=a)b$",
        r"^(?i)a$",
        r"^(?P<n>a)$",
        r"^a*+$",
        r"^a{2}{3}$",
        r"^a{,3}$",
        r"^a}$",
        r"^(*)$",
        r"^[a&&b]$",
        r"^[a--b]$",
        r"^[[:alpha:]]$",
        r"^[]a]$",
        r"^\<a$",
        r"^(a$",
        r"^a)$",
        r"^[z-a]$",
    ],
)
def test_a_pattern_that_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ContractError, match=r"^(Texts\.text_0: |Field\()str_matches"):
        contract_of(str_matches=pattern)


def test_line_ends_are_written_so_that_java_and_rust_agree() -> None:
    assert portable(r"^a.(b$|c)[.$]\$$", whole=True) == r"^a[^\n](b\z|c)[.$]\$\z"


def test_no_text_is_taken_for_one_of_sparks_variables() -> None:
    contract = contract_of(eq="${spark.app.name}", str_contains=r"\${2}", isin=["$", "${}"])
    assert not any("${" in check.failure for check in compile_checks(contract))


@pytest.mark.parametrize(
    ("annotation", "check", "value"),
    [
        (int, "ge", 0.5),
        (int, "eq", True),
        (int, "gt", 2**63),
        (int, "isin", "12"),
        (int, "isin", []),
        (int, "isin", [1, None]),
        (float, "ge", math.nan),
        (float, "isin", [0]),
        (float, "eq", Decimal("0.1")),
        (Money, "ge", 0.5),
        (Money, "ge", Decimal("0.00001")),
        (Money, "lt", 10**14),
        (Money, "eq", Decimal("NaN")),
        (Money, "isin", [0, Decimal("0.1")]),
        (str, "eq", 1),
        (str, "str_length", {"min_value": 1.5}),
        (str, "isin", "abc"),
        (Timestamp, "ge", datetime(2011, 1, 1)),
        (Timestamp, "ge", date(2011, 1, 1)),
        (Timestamp, "ge", "2011-01-01"),
        (Date, "ge", datetime(2011, 1, 1, tzinfo=UTC)),
        (bool, "eq", 1),
        (list[str], "eq", "a"),
        (int, "str_matches", "^1$"),
        (list[str], "str_length", 1),
    ],
)
def test_a_value_that_the_column_cannot_hold_exactly_is_refused(
    annotation: Any, check: str, value: Any
) -> None:
    with pytest.raises(ContractError, match=rf"^Mistaken\.amount: {check}"):

        class Mistaken(Contract):
            """A row."""

            amount: annotation = Field(**{check: value})

            class Config:
                metadata = TABLE


def test_checks_are_named_and_described_for_people() -> None:
    class Line(Contract):
        """A line."""

        line_id: str = Key(str_length={"min_value": 1})
        quantity: int = Field(ne=0)
        kind: str | None = Field(isin=["sale", "return"])
        invoice_no: str | None = Field(str_matches="^[0-9]{6}$")
        price: Money | None = Field(in_range={"min_value": 0, "max_value": Decimal("9.5")})

        class Config:
            metadata = TABLE

    assert [(check.name, check.column, check.description) for check in compile_checks(Line)] == [
        ("line_id_not_null", "line_id", "line_id is given"),
        ("line_id_str_length", "line_id", "line_id has at least 1 characters"),
        ("quantity_not_null", "quantity", "quantity is given"),
        ("quantity_ne", "quantity", "quantity is not 0"),
        ("kind_isin", "kind", "kind is one of 'sale', 'return'"),
        ("invoice_no_str_matches", "invoice_no", "invoice_no matches ^[0-9]{6}$"),
        ("price_in_range", "price", "price is at least 0 and at most 9.5"),
    ]


def test_a_rule_over_several_columns_fails_only_where_it_is_false(session: SparkSession) -> None:
    class Ranged(Contract):
        """A range."""

        whole_1: int | None
        whole_2: int | None

        class Config:
            metadata = table(
                owner="team:tests",
                grain="a range",
                fresh_within=hours(1),
                rules={"in_order": "whole_1 <= whole_2"},
            )

    rows = pa.table({"whole_1": [1, 2, None], "whole_2": [1, 1, 1]})
    assert compiled_verdicts(session, Ranged, rows) == {"in_order": {1}}
