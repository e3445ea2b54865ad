"""Gold: building dbt models incrementally, exactly once.

Belongs here: the tables from their contracts, how far each has taken in its upstream tables, and
leases. Does not: the queries (the project), running dbt (`dbt_project`), reading what it parsed
(`dbt_manifest`), Dagster's view (`dbt_assets`).
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import pyarrow as pa

from aquifer import dbt_manifest
from aquifer.contract import Contract, arrow_schema, table_metadata
from aquifer.dbt_project import DbtProject, passed_test, succeeded
from aquifer.engine import register
from aquifer.lake import MONTH, NOTHING, SEQUENCE, Lake, Snapshot
from aquifer.runtime import Runtime

INTERVAL_SEQUENCE = "_interval_seq"
"""Of a version (SCD2): the build that made it or moved its end, so that facts look again."""

TESTED = "_tested"
"""The application transaction of the build up to which all tests of a table have passed.

`_tested:<upstream>` is how far that build had taken in the upstream table.
"""

APPENDED = "_appended"
"""`_appended:<upstream>`: the highest `_seq` of an upstream table whose new rows are appended.

What changed in others may not have been looked at yet.
"""


@dataclass(frozen=True)
class Gold:
    """The gold tables of a dbt project.

    Args:
        project: the dbt project.
        contracts: the contract of each table, by name (`gold.fct_sales`).
        partial: of tables that are built by parts, whether a build with these variables takes in
            all that is new; if not, it records no progress.
    """

    project: DbtProject
    contracts: Mapping[str, type[Contract]]
    partial: Mapping[str, Callable[[Lake, Mapping[str, Any]], bool]] = field(default_factory=dict)

    @cached_property
    def upstreams(self) -> Mapping[str, frozenset[str]]:
        """The tables that each gold table reads, through ephemeral models."""
        return dbt_manifest.upstreams(self.project.manifest)

    @cached_property
    def tests(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        """Each table's data tests by name, each with the tables that it reads."""
        return dbt_manifest.tests(self.project.manifest, self.contracts)

    def reads(self, name: str) -> frozenset[str]:
        """The tables that a gold table's model and tests read, through ephemeral models."""
        return self.upstreams[name].union(*self.tests[name].values())

    def build(
        self,
        runtime: Runtime,
        remote: str,
        tables: Sequence[str],
        *,
        variables: Mapping[str, Any] | None = None,
        full_refresh: bool = False,
        appending: Collection[str] = (),
        tested_later: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Build tables with their tests; dbt's events as they come.

        The event of a table that is built has the `build`, which is the `_seq` of the rows that it
        wrote, and the `versions_read` of the tables that it was made from.

        Args:
            remote: URL of the engine session of `runtime`, which dbt shares.
            tables: names of gold tables.
            variables: further dbt variables, such as the days of a snapshot.
            full_refresh: look at all of silver anew.
            appending: upstream tables of which only new rows are looked at and appended, and tested
                no more than by their contract: quick, while all else waits for a build without it.
                A table that is new, or to whose rows a killed build has added, is built whole.
            tested_later: test no more than contracts: `check` runs the other tests.
        """
        lake = runtime.lake
        with lake.lease(tables), runtime.staging() as staging:
            for name in tables:
                lake.ensure(name, self.schema(name), self.partition(name))
            present = self._register(runtime, tables)
            upstreams = {u for name in tables for u in self.upstreams[name]}
            seen = {upstream: lake.snapshot(upstream) for upstream in sorted(upstreams)}
            build = max([time.time_ns() // 1000, *(lake.seq(name) + 1 for name in tables)])
            progress = {name: self._progress(runtime, name) for name in tables}
            tested = {name: self._tested(runtime, name) for name in tables}
            settled = {name for name in tables if lake.settled(name)}
            appended = {name: self.appended_to(lake, name) for name in tables}
            if not (settled.issuperset(tables) and all(progress.values())):
                appending = ()
            # Asked after `seen` was: what arrives in between makes a build partial, never whole.
            partial = {
                name
                for name in self.partial.keys() & set(tables)
                if not self.partial[name](lake, variables or {})
            }
            os.environ["SPARK_REMOTE"] = remote
            built: set[str] = set()
            passed: set[str] = set()
            contracts_only = tested_later or bool(appending)
            for event in self.project.run(
                [
                    "build",
                    *(["--full-refresh"] if full_refresh else []),
                    "--exclude-resource-type",
                    "unit_test",
                    *_selected(
                        [*map(_model, tables), *self._tests(present, tables, contracts_only)]
                    ),
                ],
                {
                    **(variables or {}),
                    "build": build,
                    "staging": staging,
                    "progress": _by_model(progress),
                    "seen": {u: build if u in tables else seen[u].seq for u in seen},
                    "tested": _by_model(tested),
                    "settled": [*map(_model, sorted(settled))],
                    "appending": bool(appending),
                    "appended": _by_model(appended),
                },
            ):
                if succeeded(event):
                    name = f"gold.{event['data']['node_info']['node_name']}"
                    built.add(name)
                    event["build"] = build
                    event["appending"] = bool(appending)
                    event["versions_read"] = {
                        u: lake.version(u) if u in built else seen[u].version
                        for u in sorted(self.upstreams[name])
                    }
                if passed_test(event):
                    passed.add(event["data"]["node_info"]["node_name"])
                yield event
            if appending:
                self._record_appended(lake, built, appending, seen, build)
            else:
                self._record(runtime, built, passed, partial, seen, build)

    def check(self, runtime: Runtime, remote: str, name: str) -> Iterator[dict[str, Any]]:
        """Run a table's tests on what it has beyond what has passed; dbt's events as they come.

        It may be built meanwhile: what it had taken in before is tested.
        """
        lake = runtime.lake
        present = self._register(runtime, [name])
        taken_in, reached = self._progress(runtime, name), lake.seq(name)
        tested = self._tested(runtime, name)
        os.environ["SPARK_REMOTE"] = remote
        passed: set[str] = set()
        for event in self.project.run(
            ["test", *_selected(self._tests(present, [name]))],
            {"seen": taken_in, "tested": _by_model({name: tested})},
        ):
            if passed_test(event):
                passed.add(event["data"]["node_info"]["node_name"])
            yield event
        if passed.issuperset(self.tests[name]):
            with lake.lease([name]):
                lake.record(name, _tested_marks(reached, taken_in))

    def forget(self, lake: Lake, name: str) -> None:
        """Let the next build of a table merge all rows."""
        upstreams = self.upstreams[name]
        # Its own `_seq`, too: what it holds then counts for rows of a build that was killed.
        lake.forget(name, [SEQUENCE, *upstreams, *(f"{APPENDED}:{each}" for each in upstreams)])

    def hanging_on(self, streams: Collection[str]) -> list[str]:
        """The tables that are made from one of these."""
        return [name for name in sorted(self.contracts) if self.upstreams[name] & {*streams}]

    def appended(self, streams: Collection[str]) -> list[str]:
        """Of the tables that hang on these streams, those to which events are appended."""
        hanging = self.hanging_on(streams)
        return [name for name in hanging if self.model(name)["config"].get("appends")]

    def appended_to(self, lake: Lake, name: str) -> dict[str, int]:
        """The highest `_seq` of each upstream table of which the table has all new rows."""
        names = {f"{APPENDED}:{upstream}": upstream for upstream in sorted(self.upstreams[name])}
        marks = lake.marks(name, [*names, *names.values()])
        return {
            upstream: max(marks.get(mark, NOTHING), marks.get(upstream, NOTHING))
            for mark, upstream in names.items()
        }

    def in_order(self, names: set[str]) -> list[str]:
        """The tables, each after those that it is made from."""
        ordered: list[str] = []
        while len(ordered) < len(names):
            ordered += sorted(
                name
                for name in names - set(ordered)
                if not (self.upstreams[name] & names) - set(ordered)
            )
        return ordered

    def schema(self, name: str) -> pa.Schema:
        """The table's columns with those that the platform adds."""
        contract = self.contracts[name]
        versions = [pa.field(INTERVAL_SEQUENCE, pa.int64())]
        month = [pa.field(MONTH, pa.string())]
        return pa.schema(
            [
                *arrow_schema(contract),
                *(versions if table_metadata(contract).versions_of else []),
                *(month if self.partition(name) == [MONTH] else []),
            ]
        )

    def partition(self, name: str) -> list[str]:
        """The column that the table is partitioned by, as the model says."""
        column = self.model(name)["config"].get("partition_by")
        return [column] if column else []

    def model(self, name: str) -> Mapping[str, Any]:
        """The manifest's node of a table."""
        return dbt_manifest.model(self.project.manifest, name)

    def _register(self, runtime: Runtime, tables: Sequence[str]) -> set[str]:
        """Name what the models and tests of tables read in the engine; what of it exists."""
        read = {*tables}.union(*(self.reads(name) for name in tables))
        present = {*filter(runtime.lake.exists, read)}
        register(runtime.session, runtime.lake, present)
        return present

    def _tests(
        self, present: Collection[str], tables: Sequence[str], contracts_only: bool = False
    ) -> list[str]:
        """The tests of tables, but for those that wait for a table which does not exist yet."""
        contracts = {f"{_model(name)}_contract" for name in tables}
        return [
            test
            for name in tables
            for test, read in self.tests[name].items()
            if (test in contracts or not contracts_only) and read.issubset(present)
        ]

    def _progress(self, runtime: Runtime, name: str) -> dict[str, int]:
        return runtime.lake.marks(name, sorted(self.upstreams[name]))

    def _tested(self, runtime: Runtime, name: str) -> dict[str, int]:
        """How far the tests of a table have passed: by its own name, and by upstream table."""
        names = {TESTED: name} | {f"{TESTED}:{u}": u for u in sorted(self.upstreams[name])}
        return {names[mark]: seq for mark, seq in runtime.lake.marks(name, names).items()}

    def _record(
        self,
        runtime: Runtime,
        built: set[str],
        passed: set[str],
        partial: set[str],
        seen: Mapping[str, Snapshot],
        build: int,
    ) -> None:
        """Record how far each built table has come, upstream tables first.

        A table that also reads a gold table has seen no more of silver than that one: a mart built
        alone must not pass over lines which its fact table has yet to take in.
        """
        lake = runtime.lake
        taken_in = cache(lambda table: self._progress(runtime, table))
        for name in self.in_order(built):
            marks = {}
            for upstream in self.upstreams[name] if name not in partial else ():
                reached = build if upstream in built else seen[upstream].seq
                between = [
                    taken_in(table).get(upstream, NOTHING)
                    for table in self.upstreams[name] & self.contracts.keys()
                    if upstream in self.upstreams[table]
                ]
                marks[upstream] = min([reached, *between])
            known = _known(marks)
            tested = {}
            if passed.issuperset(self.tests[name]):
                tested = _tested_marks(build, known)
            lake.record(name, {**known, **tested, SEQUENCE: build})

    def _record_appended(
        self,
        lake: Lake,
        built: set[str],
        appending: Collection[str],
        seen: Mapping[str, Snapshot],
        build: int,
    ) -> None:
        for name in built:
            streams = self.upstreams[name] & {*appending}
            marks = {f"{APPENDED}:{upstream}": seen[upstream].seq for upstream in streams}
            lake.record(name, {**_known(marks), SEQUENCE: build})


def _known(marks: Mapping[str, int]) -> dict[str, int]:
    return {name: seq for name, seq in marks.items() if seq != NOTHING}


def _tested_marks(build: int, taken_in: Mapping[str, int]) -> dict[str, int]:
    """The marks of a table whose tests have passed up to a build."""
    return {TESTED: build, **{f"{TESTED}:{u}": seq for u, seq in taken_in.items()}}


def _selected(names: Sequence[str]) -> list[str]:
    """Arguments of dbt that name nodes, not all that touch them."""
    return ["--indirect-selection", "empty", "--select", *names]


def _model(table: str) -> str:
    return table.split(".")[1]


def _by_model(marks: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    return {_model(name): known for name, known in marks.items() if known}
