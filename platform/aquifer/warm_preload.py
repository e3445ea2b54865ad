"""What the fork server imports before it forks, so that no run has to: importing it loads all.

Belongs here: imports, and what is made once for all runs. Does not: anything with threads or open
files (the engine, gRPC, SQLite), which would not answer in a fork.
"""

import atexit
import gc
import threading
from importlib import import_module

from aquifer.plugins import plugin

LIBRARIES = (
    "aquifer.compute_logs",
    "aquifer.dagster_event_log",
    "aquifer.dagster_storage",
    "aquifer.warm_launcher",
    "dagster._cli.api",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.storage.legacy_storage",
    "dagster._core.storage.root",
    "dagster._core.storage.sqlite_storage",
    "dagster._daemon.asset_daemon",
    "dbt.adapters.spark",
    "dbt.cli.main",
    "duckdb",
    "pysail.spark",
    "pyspark.sql.connect.session",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.ext.compiler",
    "structlog",
    "upath.implementations.local",
)
"""What runs import when they first need it."""

plugin("definitions").get_repository_def()
plugin("tables").gold.project.load()
for library in LIBRARIES:
    import_module(library)

if threading.active_count() > 1:
    raise RuntimeError(f"these threads would not survive the fork: {threading.enumerate()}")
# What is loaded is garbage never: without looking through it, forks share its memory.
gc.collect()
gc.freeze()
# At its own end it may look again: DuckDB would complain of what is left.
atexit.register(gc.unfreeze)
