"""What a target load would need, from what was measured; the table of docs/scaling.md.

The defaults are the figures of docs/benchmarks.md, targets, and assumptions; each can be given.
Nothing here is measured beyond two cores.
"""

import argparse
import math

from common import markdown

SECONDS_A_DAY = 86_400
MIB, GB, TB = 2**20, 1e9, 1e12

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
)
targets = parser.add_argument_group("targets")
targets.add_argument("--sustained", type=float, default=1.2e6, help="events/s")
targets.add_argument("--peak", type=float, default=2.5e6, help="events/s")
targets.add_argument("--bronze-a-day", type=float, default=5e12, help="bytes stored")
targets.add_argument("--batch-an-hour", type=float, default=500e9, help="bytes of invoice files")
measured = parser.add_argument_group("measured")
measured.add_argument("--drain", type=float, default=75_300, help="events/s of one drain")
measured.add_argument("--drain-cores", type=float, default=1.67, help="cores that it takes")
measured.add_argument("--event", type=float, default=346, help="bytes of an event")
measured.add_argument("--bronze", type=float, default=105, help="bytes stored an event")
measured.add_argument("--silver", type=float, default=76, help="bytes stored an event")
measured.add_argument(
    "--batch", type=float, required=True, help="bytes a core-second, as scale.py prints them"
)
assumed = parser.add_argument_group("assumptions")
assumed.add_argument("--used", type=float, default=0.7, help="of each core, at the peak")
assumed.add_argument("--memory-a-core", type=float, default=4, help="GiB")
assumed.add_argument("--partition", type=float, default=10e6, help="bytes/s of a Kafka partition")
assumed.add_argument("--replicas", type=float, default=3, help="of what Kafka keeps")
assumed.add_argument("--retention-days", type=float, default=7, help="of Kafka")
assumed.add_argument("--bronze-days", type=float, default=90, help="that bronze is kept")
assumed.add_argument("--core-hour", type=float, default=0.05, help="USD")
assumed.add_argument("--gb-month", type=float, default=0.02, help="USD, of an object store")
given = parser.parse_args()

a_core = given.drain / given.drain_cores
cores = math.ceil(given.peak / a_core / given.used)
drains = math.ceil(given.peak / given.drain / given.used)
by_bytes = given.peak * given.event / given.partition
partitions = drains * math.ceil(by_bytes / drains)
batch_cores = math.ceil(given.batch_an_hour / 3600 / given.batch / given.used)
compute = 1e6 / a_core / given.used / 3600 * given.core_hour
bronze = 1e6 * given.bronze / GB * given.bronze_days / 30 * given.gb_month
silver = 1e6 * given.silver / GB * given.gb_month
kept = given.sustained * given.event * SECONDS_A_DAY * given.retention_days * given.replicas
stored_a_day = given.sustained * given.bronze * SECONDS_A_DAY
markdown(
    f"{given.sustained:,.0f} events/s sustained, {given.peak:,.0f} at the peak",
    ["what", "formula", "comes to"],
    [
        ("events a core-second", "drain / its cores", f"{a_core:,.0f}"),
        ("cores of bronze and silver", "peak / events a core-second / used", f"{cores:,}"),
        ("their memory", "cores x memory a core", f"{cores * given.memory_a_core:,.0f} GiB"),
        ("drains", "peak / drain / used", f"{drains:,}"),
        (
            "partitions",
            "peak x event / partition, up to a multiple of the drains",
            f"{partitions:,}",
        ),
        ("Kafka in", "peak x event", f"{given.peak * given.event / 1e6:,.0f} MB/s"),
        (
            "Kafka's disks",
            "sustained x event x retention x replicas",
            f"{kept / TB:,.0f} TB",
        ),
        ("bronze a day", "sustained x bronze", f"{stored_a_day / TB:,.1f} TB"),
        (
            f"events/s of {given.bronze_a_day / TB:,.0f} TB a day",
            "bronze a day / seconds a day / bronze",
            f"{given.bronze_a_day / SECONDS_A_DAY / given.bronze:,.0f}",
        ),
        (
            "files of 128 MiB that maintenance writes a day",
            "bronze a day / 128 MiB",
            f"{given.bronze_a_day / (128 * MIB):,.0f}",
        ),
        (
            f"cores of {given.batch_an_hour / GB:,.0f} GB of invoices an hour",
            "batch an hour / 3,600 / batch / used",
            f"{batch_cores:,}",
        ),
        (
            "USD a million events: processor",
            "10^6 / events a core-second / used / 3,600 x core-hour",
            f"{compute:.5f}",
        ),
        (
            "USD a million events: bronze, while it is kept",
            "10^6 x bronze x bronze days / 30 x GB-month",
            f"{bronze:.5f}",
        ),
        (
            "USD a million events: silver, a month",
            "10^6 x silver x GB-month",
            f"{silver:.5f}",
        ),
    ],
)
