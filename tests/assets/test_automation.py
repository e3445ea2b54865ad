"""What runs without anyone asking: real ticks of the sensors and conditions on a real instance."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import dagster_instance
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    SensorDefinition,
    build_sensor_context,
    evaluate_automation_conditions,
    materialize,
)
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

from aquifer.assets import bronze_asset
from aquifer.lake import SEQUENCE
from assets import snapshots, tables
from assets.definitions import defs
from resources.lake import LakeResource
from resources.sources import LandingResource, RewardsResource


def name(key: AssetKey) -> str:
    return ".".join(key.path)


def key_of(table: str) -> AssetKey:
    return AssetKey(table.split("."))


NOON = datetime.now(UTC).replace(hour=12, minute=1)
PARTITIONS = "dagster/asset_partition"
GRAPH = defs.resolve_asset_graph()
TABLES = [
    name(key)
    for key in GRAPH.toposorted_asset_keys
    if GRAPH.get(key).is_materializable and not name(key).endswith(("_quarantine", "_retraining"))
]
"""What can be materialised, upstream first, but for what is made with another now and then."""

DAY = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


@pytest.fixture
def instance(tmp_path) -> Iterator[DagsterInstance]:
    with dagster_instance(tmp_path / "home") as instance:
        yield instance


class Sensor:
    """A sensor of the definitions, ticked as its daemon does: with its cursor and run keys kept."""

    def __init__(self, name: str, instance: DagsterInstance, **resources: object) -> None:
        (self._sensor,) = (s for s in defs.sensors if s.name == name)
        assert isinstance(self._sensor, SensorDefinition)
        self._instance = instance
        self._resources = resources
        self._cursor: str | None = None
        self._keys: set[str] = set()

    def tick(self) -> list[tuple[str, dict[str, str]]] | str:
        """The jobs of the runs that it starts with their tags, or why it starts none."""
        context = build_sensor_context(
            self._instance, self._cursor, definitions=defs, resources=self._resources
        )
        result = self._sensor.evaluate_tick(context)
        self._cursor = result.cursor
        started = [r for r in result.run_requests if r.run_key not in self._keys]
        self._keys |= {request.run_key for request in started if request.run_key}
        if not started:
            return result.skip_message or "these runs were started before"
        return [
            (
                request.job_name or self._sensor.job_name,
                {name: tag for name, tag in request.tags.items() if name.startswith(PARTITIONS)},
            )
            for request in started
        ]


class Landing:
    """A landing folder to which files are delivered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, name: str, content: bytes = DAY, *, written: float = 1_300_000_000) -> None:
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (written, written))


INGEST = [("ingest", {})]
NOTHING_LANDED = "no file has landed or changed"


@pytest.fixture
def landing(tmp_path) -> Landing:
    return Landing(tmp_path / "landing")


@pytest.fixture
def landed_files(instance, landing) -> Sensor:
    sensor = Sensor("landed_files", instance, landing=LandingResource(folder=str(landing.folder)))
    sensor.tick()
    return sensor


def test_a_file_that_lands_starts_one_ingestion(landed_files, landing):
    assert landed_files.tick() == NOTHING_LANDED
    landing.put("2010-12-01.csv")
    assert landed_files.tick() == INGEST
    assert landed_files.tick() == NOTHING_LANDED
    landing.put("2010-12-02.csv.gz")
    landing.put("2010-12-03.csv")
    assert landed_files.tick() == INGEST
    assert landed_files.tick() == NOTHING_LANDED


def test_a_file_that_is_replaced_starts_an_ingestion_also_by_its_former_self(landed_files, landing):
    landing.put("2010-12-01.csv")
    assert landed_files.tick() == INGEST
    landing.put("2010-12-01.csv", DAY + b"1,2,3,4,5,6,7,8\n", written=1_300_000_001)
    assert landed_files.tick() == INGEST
    landing.put("2010-12-01.csv")
    assert landed_files.tick() == INGEST
    assert landed_files.tick() == NOTHING_LANDED


def test_a_file_that_is_not_whole_starts_nothing(landed_files, landing):
    landing.put("2010-12-01.csv.part")
    landing.put("2010-12-02.csv.tmp")
    landing.put("2010-12-03.csv", written=datetime.now(UTC).timestamp() + 30)
    assert landed_files.tick() == NOTHING_LANDED
    landing.put("2010-12-03.csv")
    assert landed_files.tick() == INGEST


@pytest.fixture
def lake(tmp_path) -> LakeResource:
    """A lake with movements and dimensions that no snapshot has been taken of."""
    resource = LakeResource(root=str(tmp_path / "lake"), leases=str(tmp_path / "leases"))
    lake = resource.lake
    for dimension in snapshots.DIMENSIONS:
        lake.ensure(dimension, tables.gold.schema(dimension))
        lake.record(dimension, {SEQUENCE: 1})
    (movements,) = (table for table in tables.silver if table.name == snapshots.MOVEMENTS)
    lake.ensure(movements.name, movements.schema)
    row = {"store_id": "s", "sku": "10001", "quantity": 1, "kind": "receipt", "_deleted": False}
    rows = [
        {**row, "movement_id": str(day), "moved_at": datetime(2010, 12, day, 9, tzinfo=UTC)}
        for day in (2, 6)
    ]
    lake.append(movements.name, pa.Table.from_pylist(rows, movements.schema), {})
    return resource


SNAPSHOTS = [
    (
        "snapshots",
        {
            "dagster/asset_partition_range_start": "2010-12-01",
            "dagster/asset_partition_range_end": "2010-12-06",
        },
    )
]


def snapshots_run(instance: DagsterInstance, status: DagsterRunStatus) -> DagsterRun:
    return instance.create_run_for_job(defs.resolve_job_def("snapshots"), status=status)


def test_stock_that_moved_is_snapshotted_by_one_run_for_its_days(instance, lake):
    moved_stock = Sensor("moved_stock", instance, lake=lake)
    assert moved_stock.tick() == SNAPSHOTS
    # Nothing came of it, so it asks again.
    assert moved_stock.tick() == SNAPSHOTS
    upstreams = [snapshots.MOVEMENTS, *snapshots.DIMENSIONS]
    lake.lake.ensure(snapshots.SNAPSHOT, tables.gold.schema(snapshots.SNAPSHOT))
    lake.lake.record(snapshots.SNAPSHOT, {name: lake.lake.seq(name) for name in upstreams})
    assert moved_stock.tick() == "the snapshots have taken in every movement"


@pytest.mark.parametrize("status", [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED])
def test_snapshots_are_not_asked_for_while_they_are_being_taken(instance, lake, status):
    moved_stock = Sensor("moved_stock", instance, lake=lake)
    run = snapshots_run(instance, status)
    assert moved_stock.tick() == "a run is at work on days that are out of date"
    instance.report_run_failed(run)
    instance.delete_run(run.run_id)
    assert moved_stock.tick() == SNAPSHOTS


@pytest.mark.parametrize(
    ("minutes", "answer"),
    [(14, "the last run failed; it is tried again after a while"), (16, SNAPSHOTS)],
)
def test_snapshots_that_failed_wait_for_their_cool_down(instance, lake, minutes, answer):
    with freeze_time(datetime.now(UTC) - timedelta(minutes=minutes)):
        instance.report_run_failed(snapshots_run(instance, DagsterRunStatus.STARTED))
    assert Sensor("moved_stock", instance, lake=lake).tick() == answer


class Automation:
    """The automation conditions of all assets and the freshness daemon, at a time of our own."""

    def __init__(self, instance: DagsterInstance) -> None:
        self.instance = instance
        self.now = NOON
        self._cursor = None
        self.requests: Sequence[RunRequest] = []
        self.told: dict[object, str] = {}
        """What the latest tick found of each table and check: Dagster stores it when it changes."""
        target = LoadableTargetOrigin(module_name="assets.definitions", attribute="defs")
        self._workspace = WorkspaceProcessContext(
            instance, InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
        )

    def __enter__(self) -> "Automation":
        self._workspace.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._workspace.__exit__(*error)

    def wait(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def tick(self) -> set[str]:
        """The tables that are asked for, after a look at how fresh each is.

        Without the quarantines, each of which is made with the table beside it.
        """
        with freeze_time(self.now):
            list(FreshnessDaemon().run_iteration(self._workspace))
            result = evaluate_automation_conditions(
                defs, self.instance, AssetSelection.all(), self.now, self._cursor
            )
        self._cursor = result.cursor
        self.told = {found.key: found.value_hash for found in result.results}
        self.requests = build_run_requests(result._requested_subsets, GRAPH, {}, False)
        return {table for table in TABLES if result.get_num_requested(key_of(table))}

    def materialized(self, names: Iterable[str], *, failed: str = "") -> None:
        """Report tables as materialised, with every blocking check passed but the one named."""
        with freeze_time(self.now):
            for key in map(key_of, sorted(names, key=TABLES.index)):
                self.instance.report_runless_asset_event(AssetMaterialization(key))
                for check in GRAPH.get_check_keys_for_assets({key}):
                    if not GRAPH.get(check).blocking and check.name != failed:
                        continue
                    self.instance.report_runless_asset_event(
                        AssetCheckEvaluation(
                            asset_key=key,
                            check_name=check.name,
                            passed=check.name != failed,
                            severity=AssetCheckSeverity.ERROR,
                        )
                    )


STREAMS = {table.name for table in [*tables.events, *tables.stream]}
DRAINED = STREAMS | {*tables.gold.appended(STREAMS)}
"""What the drain takes along, and what hangs on it, whenever it tells of them."""


def downstream(table: str) -> set[str]:
    """What is made from a table, directly or not, and runs by itself."""
    found: set[str] = set()
    for child in GRAPH.get(key_of(table)).child_keys:
        if GRAPH.get(child).automation_condition and name(child) not in STREAMS:
            further = set() if name(child) in DRAINED else downstream(name(child))
            found |= {name(child)} | further
    return found


@pytest.fixture(scope="module")
def settled(tmp_path_factory) -> Path:
    """A home where every table was materialised at noon."""
    home = tmp_path_factory.mktemp("settled")
    with dagster_instance(home) as instance, Automation(instance) as automation:
        automation.materialized(TABLES)
    return home


@pytest.fixture
def automation(settled, tmp_path) -> Iterator[Automation]:
    home = shutil.copytree(settled, tmp_path / "home")
    with dagster_instance(home) as instance, Automation(instance) as automation:
        assert automation.tick() == set()
        yield automation


def test_a_new_bronze_materialisation_asks_for_exactly_what_is_made_from_it(automation):
    automation.materialized(["bronze.members"])
    asked = automation.tick()
    assert asked == downstream("bronze.members")
    assert {"silver.members", "gold.dim_customer", "gold.customer_360"} <= asked
    assert not {"bronze.members", "silver.orders", "gold.fct_inventory"} & asked
    assert automation.tick() == set()
    automation.materialized(asked)
    assert automation.tick() == set()


def test_every_check_of_its_tables_is_run_with_them(automation):
    automation.materialized(["bronze.members"])
    asked = automation.tick()
    (request,) = automation.requests
    checks = GRAPH.get_check_keys_for_assets({key_of(table) for table in asked})
    assert checks == set(request.asset_check_keys)


def test_silver_waits_while_its_bronze_is_being_written(automation):
    job = defs.resolve_job_def("ingest")
    run = automation.instance.create_run_for_job(
        job,
        asset_selection=frozenset({key_of("bronze.members")}),
        status=DagsterRunStatus.STARTED,
    )
    automation.materialized(["bronze.members", "bronze.stores"])
    assert automation.tick() == downstream("bronze.stores")
    automation.materialized(downstream("bronze.stores"))
    assert automation.tick() == set()
    automation.instance.report_run_failed(run)
    assert automation.tick() == downstream("bronze.members")


def test_a_blocking_check_that_failed_holds_back_what_is_downstream(automation):
    automation.materialized(["silver.members"], failed="quarantine_share")
    assert automation.tick() == set()
    automation.materialized(["silver.members"])
    assert automation.tick() == downstream("silver.members")


def test_rows_that_a_check_refused_hold_back_nothing(automation):
    (check, *_) = (
        check.name
        for check in GRAPH.get_check_keys_for_assets({key_of("silver.members")})
        if check.name not in ("quarantine_share", "rows_accounted")
    )
    automation.materialized(["silver.members"], failed=check)
    assert automation.tick() == downstream("silver.members")


STALE = "bronze.members"
ASKED = {STALE} | downstream(STALE)


@pytest.fixture
def stale(automation) -> Automation:
    """One table is about to warn; all others are fresh."""
    automation.wait(hours=20)
    automation.materialized(table for table in TABLES if table != STALE)
    assert automation.tick() == set()
    automation.wait(hours=1)
    return automation


def test_a_stale_table_is_materialised_again_once(stale):
    assert stale.tick() == ASKED
    stale.wait(minutes=1)
    assert stale.tick() == set()
    stale.materialized(ASKED)
    for _ in range(3):
        stale.wait(minutes=10)
        assert stale.tick() == set()


def test_nothing_is_told_anew_of_fresh_tables_when_a_cool_down_passes(automation):
    automation.wait(minutes=1)
    automation.tick()
    told = automation.told
    assert {key_of("bronze.members"), key_of("gold.fct_sales")} <= told.keys()
    for minutes in (14, 1):
        automation.wait(minutes=minutes)
        assert automation.tick() == set()
        assert automation.told == told


def test_a_stale_table_whose_run_fails_is_tried_again_after_each_cool_down(stale, tmp_path):
    (table,) = (table for table in tables.bronze if table.name == STALE)
    broken = tmp_path / "rewards.db"
    broken.write_text("no database")
    lake = LakeResource(root=str(tmp_path / "lake"), leases=str(tmp_path / "leases"))
    assert stale.tick() == ASKED
    for _ in range(2):
        with freeze_time(stale.now):
            run = materialize(
                [bronze_asset(table)],
                instance=stale.instance,
                resources={"lake": lake, "rewards": RewardsResource(database=str(broken))},
                raise_on_error=False,
            )
        assert not run.success
        stale.wait(minutes=5)
        assert stale.tick() == set()
        stale.wait(minutes=10)
        assert stale.tick() == ASKED


def test_new_features_are_scored_and_the_champion_is_measured_by_themselves(automation):
    automation.wait(minutes=1)
    day = AssetMaterialization(key_of("features.customer_behaviour"), partition="2011-09-30")
    automation.instance.report_runless_asset_event(day)
    scored = {"predictions.repeat_purchase", "monitoring.repeat_purchase"}
    assert scored <= automation.tick()
    assert not any(table.startswith("models.") for table in automation.tick())


def test_a_request_for_a_retraining_starts_one_run_of_all_that_follows(automation):
    request = AssetMaterialization(key_of("monitoring.repeat_purchase_retraining"))
    automation.instance.report_runless_asset_event(request)
    layers = ("models", "champions", "predictions", "monitoring")
    assert automation.tick() == {f"{layer}.repeat_purchase" for layer in layers}
    assert len(automation.requests) == 1
    automation.materialized(f"{layer}.repeat_purchase" for layer in layers)
    assert automation.tick() == set()
