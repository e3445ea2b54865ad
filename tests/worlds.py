"""Worlds that tests make up in this process, without Dagster around them."""

import json
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake

from aquifer.advance import Advance
from aquifer.daily import Days
from aquifer.dbt_project import failure
from aquifer.eventlog import PRODUCED
from aquifer.features.view import FeatureView
from aquifer.instants import micros
from aquifer.lake import SEQUENCE
from aquifer.landing import LandingFolder
from aquifer.runtime import Runtime
from assets import snapshots, tables
from resources import order_database, rewards_database
from resources.engine import EngineResource
from resources.event_log.embedded import EmbeddedEventLog
from resources.lake import LakeResource
from resources.online_store import OnlineStoreResource
from resources.order_database import OutboxEventLog
from resources.rewards_database import RewardsExtracts
from resources.sqlite import connect, transaction

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ENGINE = os.environ.get("AQUIFER_ENGINE", "sail://")
"""The engine that what tests hold is held on."""

LAYERS = ("bronze", "silver", "stream", "gold", "features", "predictions")
STREAM = {table.name: table for table in tables.stream}
SILVER = {table.name: table for table in tables.silver}
DIMENSIONS = [f"gold.dim_{name}" for name in ("customer", "date", "geography", "product", "store")]
SALES = ["gold.fct_sales", "gold.daily_sales", "gold.hourly_metrics"]
AUTOMATED = sorted(tables.gold.contracts.keys() - {snapshots.SNAPSHOT})


class World:
    """A lake of its own on the engine of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake_resource = LakeResource(root=str(folder / "lake"), leases=str(folder / "leases"))
        self.engine = EngineResource(url=ENGINE, lake=self.lake_resource)
        self.lake = self.lake_resource.lake
        self.runtime = Runtime(self.engine.spark_session, self.lake)
        self.remote = self.engine.remote
        self.gold = tables.gold
        self.online = OnlineStoreResource(url=str(folder / "online.db")).store
        self._forget()

    def _forget(self) -> None:
        """Free the names of the tables: the engine's session is one for all tests of a process."""
        session = self.runtime.session
        for layer in LAYERS:
            session.sql(f"create database if not exists {layer}")
            for row in session.sql(f"show tables in {layer}").collect():
                session.sql(f"drop table if exists {layer}.{row.tableName}")

    def make_silver(self) -> None:
        """Make every silver table exist."""
        for table in tables.silver:
            self.lake.ensure(table.name, table.schema, table.target.partition)

    def compute(self, view: FeatureView) -> Days | None:
        """Compute the days of a feature view that are out of date; which they were."""
        days = view.touched(self.lake, snapshots.FIRST_DAY)
        if days:
            view.advance(self.runtime, self.online, days, snapshots.FIRST_DAY)
        return days

    def build(
        self,
        *names: str,
        full_refresh: bool = False,
        appending: Sequence[str] = (),
        **variables: str,
    ) -> list[str]:
        """Build gold tables, all but the snapshot unless named; what failed."""
        events = self.gold.build(
            self.runtime,
            self.remote,
            list(names) or AUTOMATED,
            variables=variables,
            full_refresh=full_refresh,
            appending=appending,
        )
        return [reason for event in events if (reason := failure(event))]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return self.lake.read(name).to_pylist()

    def content(self, *names: str) -> dict[str, list[tuple]]:
        """The rows of tables in any order, without the columns of the platform.

        Of gold, all but the snapshot, unless tables are named.
        """
        return {
            name: sorted(
                (
                    tuple(value for column, value in row.items() if not column.startswith("_"))
                    for row in self.rows(name)
                ),
                key=repr,
            )
            for name in names or AUTOMATED
        }


class Orders(World):
    """A world with the order database."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log = OutboxEventLog(folder / "orders.db")
        with closing(connect(self.log.path)) as connection:
            order_database.create_tables(connection)

    def write(self, *statements: str) -> None:
        """Change the database, each time a second later in its time."""
        with closing(connect(self.log.path)) as connection:
            for statement in statements:
                connection.execute("update clock set ts_us = ts_us + 1000000")
                connection.execute(statement)

    def take_in(self, *names: str) -> None:
        """Take what is new into silver tables."""
        for name in names:
            SILVER[name].reads.advance(self.lake, self.log)
            assert SILVER[name].advance(self.runtime).accounted


def add_phone(database: Path) -> None:
    """Give the stores of an order database a column, which its changes hold before the name."""
    with closing(connect(database)) as connection:
        triggers = connection.execute(
            "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'stores'"
        ).fetchall()
        connection.execute("alter table stores add column phone")
        for name, sql in triggers:
            connection.execute(f"drop trigger {name}")
            for row in ("new", "old"):
                sql = sql.replace(
                    f"'name', {row}.name", f"'phone', {row}.phone, 'name', {row}.name"
                )
            connection.execute(sql)


class Rewards(World):
    """A world with the rewards database."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.source = RewardsExtracts(folder / "rewards.db")
        with closing(connect(self.source.path)) as connection:
            rewards_database.create_tables(connection)

    def write(self, now: datetime, *statements: tuple[str, list]) -> None:
        """Run statements in one transaction; the database's clock then stands at `now`."""
        with closing(connect(self.source.path)) as connection, transaction(connection):
            for sql, values in statements:
                connection.execute(sql, values)
            connection.execute("update clock set ts_us = ?", (micros(now),))


class Invoices(World):
    """A world in which invoice files land; the other sources are empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.landing = LandingFolder(folder / "landing")
        self.make_silver()

    def land(self, name: str, *lines: str) -> None:
        land(self.landing, name, *lines)

    def take_in(self) -> Advance:
        """Take what has landed into bronze and silver; what the advance of silver says."""
        SILVER["silver.invoice_lines"].reads.advance(self.lake, self.landing)
        return SILVER["silver.invoice_lines"].advance(self.runtime)

    def deliver(self, name: str, *lines: str) -> None:
        """Land a file and take it in, up to the sales tables of gold."""
        self.land(name, *lines)
        assert self.take_in().accounted
        assert self.build(*DIMENSIONS, *SALES) == []


class Streams(World):
    """A world with an event log; what no stream delivers is empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log = EmbeddedEventLog(folder / "events")
        self.make_silver()

    def produce(self, topic: str, *events: dict[str, Any] | bytes, key: str = "S01/1") -> None:
        """Produce events, published now."""
        self.log.create_topic(topic)
        values = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
        now = datetime.now(UTC)
        rows = {
            "key": [key.encode()] * len(values),
            "value": values,
            "timestamp": [now] * len(values),
        }
        self.log.produce(topic, pa.Table.from_pydict(rows, PRODUCED))

    def take_in(self, topic: str) -> Advance:
        """Take what is new of a topic into silver; what the advance says."""
        table = SILVER[f"silver.{topic.replace('.', '_')}"]
        table.reads.advance(self.lake, self.log)
        return table.advance(self.runtime)


class MadeUp(World):
    """A world whose silver tables hold what `put` says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._state: dict[str, dict[tuple, dict]] = {name: {} for name in SILVER}
        self.make_silver()

    def put(self, name: str, *rows: dict[str, Any]) -> None:
        """Insert or replace rows by key, in one commit, as a silver table does."""
        table, state = SILVER[name], self._state[name]
        seq = self.lake.next_seq(name)
        for row in rows:
            state[tuple(row[key] for key in table.target.keys)] = {
                "_deleted": False,
                **({"_month": f"{row['invoiced_at']:%Y-%m}"} if "invoiced_at" in row else {}),
                **row,
                SEQUENCE: seq,
            }
        schema = table.schema.append(pa.field(SEQUENCE, pa.int64()))
        write_deltalake(
            self.lake.table(name),
            pa.Table.from_pylist(list(state.values()), schema=schema),
            mode="overwrite",
            commit_properties=CommitProperties(app_transactions=[Transaction(SEQUENCE, seq)]),
        )


def land(landing: LandingFolder, name: str, *lines: str) -> None:
    """Let a file of these lines land, written long ago."""
    landing.folder.mkdir(exist_ok=True)
    file = landing.folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.utime(file, (1_300_000_000, 1_300_000_000))


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
