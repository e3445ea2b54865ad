"""The tables of every layer, found in their packages."""

from pathlib import Path

import assets.bronze
import assets.features
import assets.gold
import assets.models
import assets.serving
import assets.silver
import assets.stream
from aquifer import catalogue
from aquifer.bronze import BronzeTable
from aquifer.contract import Contract, table_metadata
from aquifer.dbt_project import DbtProject
from aquifer.features.view import FeatureView
from aquifer.gold import Gold
from aquifer.models.model import Measurement, Model, measurements_of, predictions_of
from aquifer.models.order_plan import OrderPlan
from aquifer.serving import MergedView, ServingView
from aquifer.silver_events import EventTable
from aquifer.silver_table import SilverTable
from aquifer.stream_table import StreamTable
from assets import snapshots
from resources.environment import home

PROJECT = Path(__file__).parents[1] / "dbt_project"
EVENT_SCHEMAS = Path(__file__).parent / "schemas"
"""Where the history of each topic's event schemas is."""

bronze = catalogue.declared(assets.bronze, BronzeTable)
silver = catalogue.declared(assets.silver, SilverTable)
events = [table for table in silver if isinstance(table, EventTable)]
stream = [
    *catalogue.declared(assets.stream, StreamTable),
    *catalogue.declared(assets.models, StreamTable),
]
serving = [
    *catalogue.declared(assets.serving, MergedView),
    *catalogue.declared(assets.serving, ServingView),
]
features = catalogue.declared(assets.features, FeatureView)
models = catalogue.declared(assets.models, Model)
plans = catalogue.declared(assets.models, OrderPlan)
gold = Gold(
    DbtProject(PROJECT, home() / "dbt"),
    catalogue.contracts(assets.gold, "gold"),
    partial={snapshots.SNAPSHOT: snapshots.takes_in_all},
)


def contracts() -> dict[str, type[Contract]]:
    """The contract of every table, by name."""
    declared = {t.name: t.contract for t in [*bronze, *silver, *stream, *features, *plans]}
    predicted = {predictions_of(model): model.contract for model in models}
    measured = {measurements_of(model): Measurement for model in models}
    return {**declared, **gold.contracts, **predicted, **measured}


def clustering() -> dict[str, tuple[str, ...]]:
    """The columns that each table's files are sorted by."""
    return {
        name: metadata.cluster_by
        for name, contract in contracts().items()
        if (metadata := table_metadata(contract)).cluster_by
    }


def readers() -> dict[str, tuple[str, ...]]:
    """The silver tables that are made from each bronze table."""
    return {
        table.name: tuple(made.name for made in silver if made.reads.name == table.name)
        for table in bronze
    }
