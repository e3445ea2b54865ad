"""A warm query over all of fct_sales, by month and country, beside other readers of the table."""

import statistics
import time
from collections.abc import Callable

import polars as pl
from common import demo, empty_home, invoice_files, show

from aquifer.query import Queries
from resources.engine import EngineResource
from resources.lake import LakeResource

FACTS = "gold.fct_sales"
SQL = f"""
select date_trunc('month', sold_at) as month, country, sum(net_amount) as net
from {FACTS} group by date_trunc('month', sold_at), country
"""
RUNS = 20


def timed(answer: Callable[[], int]) -> list[str]:
    """The groups of an answer, and median and maximum milliseconds of all runs but the first."""
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        groups = answer()
        seconds.append(time.perf_counter() - started)
    warm = [1000 * second for second in seconds[1:]]
    return [str(groups), f"{statistics.median(warm):.0f}", f"{max(warm):.0f}"]


with empty_home() as home:
    demo(home, invoice_files())
    resource = LakeResource(root=str(home / "lake"), leases=str(home / "leases"))
    lake = resource.lake
    queries = Queries(lake)
    session = EngineResource(url="sail://", lake=resource).spark_session

    def polars() -> int:
        lines = pl.scan_delta(lake.uri(FACTS))
        month = pl.col("sold_at").dt.truncate("1mo").alias("month")
        return lines.group_by(month, "country").agg(pl.col("net_amount").sum()).collect().height

    facts = f"{lake.table(FACTS).count():,}"
    show(
        "Query",
        ["reader", "rows", "groups", "median ms", "max ms"],
        [
            ("aquifer query (DuckDB)", facts, *timed(lambda: queries.run(SQL).num_rows)),
            ("the engine (Sail)", facts, *timed(lambda: session.sql(SQL).toArrow().num_rows)),
            ("Polars", facts, *timed(polars)),
        ],
    )
