"""The environments: which resources stand for the outside world, from settings in the process.

Belongs here: one wiring an environment, the meaning of the `AQUIFER_` settings. Does not: the
resources themselves (beside), which are loaded where they are wired: a rollback has no time for it.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aquifer.errors import SettingError
from resources.database import SCHEME

if TYPE_CHECKING:
    from aquifer.models.registry import Registry
    from resources.lake import LakeResource

Settings = Mapping[str, str]


def home(settings: Settings = os.environ) -> Path:
    """AQUIFER_HOME: everything that the platform writes lies under it."""
    return Path(settings.get("AQUIFER_HOME") or ".aquifer").resolve()


def database(settings: Settings = os.environ) -> str | None:
    """AQUIFER_DATABASE: PostgreSQL for Dagster's storage and the leases; None: files in the home.

    Raises:
        SettingError: it names no PostgreSQL.
    """
    url = settings.get("AQUIFER_DATABASE")
    if url and not url.startswith(SCHEME):
        # Not the whole URL, which may hold a password.
        raise SettingError(
            f"AQUIFER_DATABASE begins with '{url.partition(':')[0]}'; "
            f"write {SCHEME}user:password@host:port/database"
        )
    return url or None


def landing_folder(settings: Settings = os.environ) -> Path:
    """AQUIFER_LANDING: where invoice files are delivered."""
    return Path(settings.get("AQUIFER_LANDING") or home(settings) / "landing")


def _local(settings: Settings) -> dict[str, Any]:
    from resources.lake import LakeResource

    lake = settings.get("AQUIFER_LAKE") or str(home(settings) / "lake")
    return _wired(settings, LakeResource(root=lake, leases=_leases(settings)), "sail://")


def _cluster(settings: Settings) -> dict[str, Any]:
    from dagster_deltalake.config import LocalConfig

    from resources.lake import LakeResource

    lake = _needed(settings, "AQUIFER_LAKE", "a folder or URL that the cluster reaches")
    resource = LakeResource(root=lake, leases=_leases(settings), storage=LocalConfig())
    return _wired(settings, resource, _needed(settings, "AQUIFER_ENGINE", "sc://host:port"))


def _azure(settings: Settings) -> dict[str, Any]:
    from dagster_deltalake.config import AzureConfig

    from resources.lake import LakeResource

    lake = _needed(settings, "AQUIFER_LAKE", "abfss://container@account.dfs.core.windows.net/path")
    account = _needed(settings, "AZURE_STORAGE_ACCOUNT_NAME", "the storage account")
    storage = AzureConfig(account_name=account, use_azure_cli=True)
    resource = LakeResource(root=lake, leases=_leases(settings), storage=storage)
    return _wired(settings, resource, _needed(settings, "AQUIFER_ENGINE", "sc://host:port"))


ENVIRONMENTS: Mapping[str, Callable[[Settings], dict[str, Any]]] = {
    "local": _local,
    "cluster": _cluster,
    "azure": _azure,
}


def resources(settings: Settings = os.environ) -> dict[str, Any]:
    """The Dagster resources of the environment that AQUIFER_ENV names (default: local)."""
    name = settings.get("AQUIFER_ENV") or "local"
    if name not in ENVIRONMENTS:
        raise SettingError(f"AQUIFER_ENV is '{name}'; use one of {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[name](settings)


def registry(settings: Settings = os.environ) -> "Registry":
    """The model registry, without what else there is in an environment."""
    from resources.model_registry import opened

    return opened(_registry_uri(settings), _registry_folder(settings), _leases(settings))


def _registry_uri(settings: Settings) -> str:
    from resources.model_registry import checked

    default = f"sqlite:///{_registry_folder(settings)}/mlflow.db"
    return checked(settings.get("AQUIFER_MLFLOW") or default)


def _registry_folder(settings: Settings) -> Path:
    return home(settings) / "mlflow"


def _wired(settings: Settings, lake: "LakeResource", engine: str) -> dict[str, Any]:
    from aquifer.eventlog import RETENTION
    from resources.cache import CacheResource
    from resources.engine import EngineResource, checked
    from resources.event_log.opening import EMBEDDED
    from resources.online_store import OnlineStoreResource
    from resources.order_server import order_server
    from resources.registry import RegistryResource
    from resources.schema_registry import schema_registry
    from resources.sources import (
        EventLogResource,
        LandingResource,
        OrdersResource,
        RatesResource,
        RewardsResource,
        SimulationResource,
    )

    sources = home(settings) / "sources"
    landing = LandingResource(folder=str(landing_folder(settings)))
    events = EventLogResource(
        url=settings.get("AQUIFER_EVENT_LOG") or EMBEDDED,
        folder=str(home(settings) / "events"),
        retention_days=_days(settings, "AQUIFER_RETENTION_DAYS", RETENTION.days),
    )
    orders = OrdersResource(
        database=str(sources / "orders.db"),
        captured=order_server(settings) is not None,
        events=events,
    )
    rewards = RewardsResource(database=str(sources / "rewards.db"))
    url = checked(settings.get("AQUIFER_ENGINE") or engine)
    return {
        "lake": lake,
        "engine": EngineResource(url=url, lake=lake),
        "events": events,
        "cache": CacheResource(folder=str(home(settings) / "cache")),
        "landing": landing,
        "online": OnlineStoreResource(
            url=settings.get("AQUIFER_ONLINE_STORE") or str(home(settings) / "online.db")
        ),
        "orders": orders,
        "rewards": rewards,
        "rates": RatesResource(url=settings.get("AQUIFER_RATES_URL") or "", rewards=rewards),
        "registry": RegistryResource(
            uri=_registry_uri(settings),
            folder=str(_registry_folder(settings)),
            leases=_leases(settings),
        ),
        "schemas": schema_registry(settings),
        "simulation": SimulationResource(orders=orders, rewards=rewards, landing=landing),
    }


def _leases(settings: Settings) -> str:
    return database(settings) or str(home(settings) / "leases")


def _days(settings: Settings, name: str, default: int) -> int:
    days = settings.get(name) or str(default)
    if not days.isdecimal():
        raise SettingError(f"{name} is '{days}'; write a number of days")
    return int(days)


def _needed(settings: Settings, name: str, meaning: str) -> str:
    value = settings.get(name)
    if not value:
        raise SettingError(
            f"AQUIFER_ENV={settings.get('AQUIFER_ENV')} needs {name} to be set to {meaning}"
        )
    return value
