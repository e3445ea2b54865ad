"""A warm query over all of fct_sales, by month and country."""

import statistics
import time

from common import demo, empty_home, invoice_files, show

from aquifer.lake import Lake
from aquifer.lease import FileLeases
from aquifer.query import Queries

SQL = """
select date_trunc('month', sold_at) as month, country, sum(net_amount) as net
from gold.fct_sales group by all
"""

with empty_home() as home:
    demo(home, invoice_files())
    queries = Queries(Lake(str(home / "lake"), FileLeases(home / "leases")))
    facts = queries.run("select count(*) as n from gold.fct_sales")["n"][0].as_py()
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        groups = queries.run(SQL).num_rows
        seconds.append(time.perf_counter() - started)
    warm = [1000 * second for second in seconds[1:]]
    show(
        "Query",
        ["rows", "groups", "median ms", "max ms"],
        [(f"{facts:,}", groups, f"{statistics.median(warm):.0f}", f"{max(warm):.0f}")],
    )
