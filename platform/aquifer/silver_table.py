"""Silver tables: what all of them share, each advanced from one bronze table.

Belongs here: the order of steps in which new bronze rows become rows of a table, exactly once. Does
not: what the steps are for rows whose state changes (`silver`) and for events (`silver_events`).
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from aquifer.advance import Advance, Standing
from aquifer.bronze import BronzeTable
from aquifer.contract import Contract, arrow_schema, contract_fields, keys, table_metadata
from aquifer.engine import register
from aquifer.lake import DELETED, MONTH, Lake
from aquifer.merge import Target
from aquifer.quarantine import ensure_quarantine, quarantine_name
from aquifer.runtime import Runtime


@dataclass(frozen=True)
class SilverTable(ABC):
    """A silver table: its contract, its upstream and the query that shapes the new rows.

    Args:
        name: `silver.<table>`.
        contract: its columns and checks.
        reads: the bronze table whose new rows it takes in.
        query: SQL over the relation `new` (see `BronzeTable.decoded`), beginning `select *, ...`;
            text for a column of another type is read by the contract's types.
    """

    name: str
    contract: type[Contract]
    reads: BronzeTable
    query: str

    @cached_property
    def target(self) -> Target:
        return Target(
            self.name,
            [column.name for column in contract_fields(self.contract)],
            keys(self.contract),
            table_metadata(self.contract).partition_by,
        )

    @property
    @abstractmethod
    def technical(self) -> pa.Schema:
        """Columns beside the contract's, `_deleted`, `_month` and `_seq`."""

    @property
    def schema(self) -> pa.Schema:
        partition = [pa.field(MONTH, pa.string())] if self.target.partition else []
        return pa.schema(
            [
                *arrow_schema(self.contract),
                *self.technical,
                pa.field(DELETED, pa.bool_()),
                *partition,
            ]
        )

    def advance(self, runtime: Runtime) -> Advance:
        """Take in the bronze rows that the table has not seen, and record that it has.

        Refused rows are in the quarantine before the others are in the table, and progress is
        recorded last: killed at any instant, the next advance repeats steps that change nothing
        twice.
        """
        started = time.monotonic()
        lake = runtime.lake
        done = Advance(self.name)
        quarantine = quarantine_name(self.name)
        with lake.lease([self.name, quarantine]):
            self.ensure(lake)
            since = lake.progress(self.name, self.reads.name)
            upstream = lake.snapshot(self.reads.name)
            if (torn := lake.torn(quarantine)) > lake.progress(self.name, quarantine):
                self.register(runtime)
                with runtime.staging() as place:
                    self.refuse_again(runtime, place, since)
                lake.record(self.name, {quarantine: torn})
            if upstream.seq > since:
                self.register(runtime)
                with runtime.staging() as place:
                    done = self.take_in(runtime, place, since, upstream.seq)
        return replace(
            done,
            versions_read={self.reads.name: upstream.version},
            version=lake.version(self.name),
            seconds=time.monotonic() - started,
        )

    @abstractmethod
    def take_in(self, runtime: Runtime, place: str, since: int, upto: int) -> Advance:
        """Take in bronze rows above one `_seq` up to another, or some of them; their numbers."""

    @abstractmethod
    def refuse_again(self, runtime: Runtime, place: str, upto: int) -> None:
        """Put refused rows into a quarantine that lost some: those of bronze up to a `_seq`."""

    @abstractmethod
    def take_in_again(
        self, runtime: Runtime, place: str, received: pa.Table
    ) -> Sequence[Mapping[str, Any]]:
        """Take in refused rows after all, as far as they pass now.

        Args:
            received: rows as they stood in bronze.

        Returns:
            Of each row its `_position` and `_reasons`, empty for those that have been taken in.
        """

    def forget(self, lake: Lake) -> None:
        """Let the next advances look at all of bronze again, for what the table has lost."""
        lake.forget(self.name, [self.reads.name])

    @abstractmethod
    def standing(self, lake: Lake) -> Standing:
        """How the table stands, its newest batch in particular."""

    def ensure(self, lake: Lake) -> None:
        """Make the table and its quarantine exist, with all columns of their contracts."""
        lake.ensure(self.name, self.schema, self.target.partition)
        ensure_quarantine(lake, self.name)

    def register(self, runtime: Runtime) -> None:
        """Name the table, its quarantine and its upstream in the session."""
        names = [self.name, quarantine_name(self.name), self.reads.name]
        register(runtime.session, runtime.lake, names)
