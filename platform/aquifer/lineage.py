"""Column lineage, derived from the queries themselves."""

from collections.abc import Mapping
from functools import cache

from sqlglot import exp, parse_one

DIALECT = "spark"


@cache
def raw_fields(query: str) -> Mapping[str, frozenset[str]]:
    """For each column of a silver query, the fields of `raw` that it is made from.

    Raises:
        TypeError: the query is no SELECT.
    """
    select = parse_one(query, dialect=DIALECT)
    if not isinstance(select, exp.Select):
        raise TypeError(f"the query of a silver table is no SELECT: {query}")
    return _fields(select)


def _fields(select: exp.Select) -> dict[str, frozenset[str]]:
    source = select.args.get("from_") or select.args.get("from")
    inner = source.this if source is not None else None
    known = (
        _fields(inner.this)
        if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Select)
        else {}
    )
    found = dict(known)
    for projection in select.expressions:
        if isinstance(projection, exp.Star):
            continue
        fields: frozenset[str] = frozenset()
        for column in projection.find_all(exp.Column):
            # What the platform gives a query beside `raw`: `_changed_at` and the like.
            given = column.table == "raw" or column.name.startswith("_")
            fields |= {column.name} if given else known.get(column.name, frozenset())
        found[projection.alias_or_name] = fields
    return found
