"""The sensor that tells Dagster of champions which were moved elsewhere.

By a command, that is, by monitoring, or in MLflow. Belongs here: what is told. Does not: who may be
champion (`promotion`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterInstance,
    DefaultSensorStatus,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from aquifer.models.errors import RegistryDown
from aquifer.models.model import Model
from aquifer.specs import asset_key

if TYPE_CHECKING:
    from aquifer.models.registry import Registry


def champions_sensor(models: Sequence[Model]) -> SensorDefinition:
    """A sensor that materialises, without a run, the champions that Dagster does not know of."""

    @sensor(
        name="moved_champions",
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        required_resource_keys={"registry"},
        description="Tells of champions that were promoted or taken back elsewhere.",
    )
    def tell(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        """A run would promote the challenger, which may be what was just taken back."""
        registry = context.resources.registry.begun
        if registry is None:
            return SkipReason("no model has been registered")
        try:
            moved = [
                event
                for model in models
                if (event := _moved(registry, context.instance, model.name)) is not None
            ]
        except RegistryDown as error:
            return SkipReason(str(error))
        return SensorResult(asset_events=moved) if moved else SkipReason("no champion has moved")

    return tell


def _moved(
    registry: "Registry", instance: DagsterInstance, name: str
) -> AssetMaterialization | None:
    """The materialisation that Dagster lacks of a champion, if there is one."""
    from aquifer.models.promotion import champion_metadata
    from aquifer.models.registry import CHAMPION

    key = asset_key(f"champions.{name}")
    version = registry.version(name, CHAMPION)
    if version is None or version == _told(instance, key):
        return None
    metadata, version = champion_metadata(registry, name)
    return AssetMaterialization(key, metadata=metadata, tags={DATA_VERSION_TAG: version})


def _told(instance: DagsterInstance, key: AssetKey) -> str | None:
    """The version that Dagster knows of."""
    event = instance.get_latest_materialization_event(key)
    told = event.asset_materialization if event else None
    return (told.tags or {}).get(DATA_VERSION_TAG) if told else None
