"""The environments: which resources stand for the outside world, from settings in the process.

Belongs here: one wiring an environment, the meaning of the `AQUIFER_` settings. Does not: the
resources themselves (beside).
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dagster_deltalake.config import AzureConfig, LocalConfig

from aquifer.errors import SettingError
from aquifer.eventlog import RETENTION
from resources.cache import CacheResource
from resources.database import SCHEME
from resources.engine import EngineResource, checked
from resources.event_log.opening import EMBEDDED
from resources.lake import LakeResource
from resources.online_store import OnlineStoreResource
from resources.order_server import order_server
from resources.registry import RegistryResource
from resources.registry import checked as checked_registry
from resources.schema_registry import schema_registry
from resources.sources import (
    EventLogResource,
    LandingResource,
    OrdersResource,
    RatesResource,
    RewardsResource,
    SimulationResource,
)

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
    lake = settings.get("AQUIFER_LAKE") or str(home(settings) / "lake")
    return _wired(settings, LakeResource(root=lake, leases=_leases(settings)), "sail://")


def _cluster(settings: Settings) -> dict[str, Any]:
    lake = _needed(settings, "AQUIFER_LAKE", "a folder or URL that the cluster reaches")
    resource = LakeResource(root=lake, leases=_leases(settings), storage=LocalConfig())
    return _wired(settings, resource, _needed(settings, "AQUIFER_ENGINE", "sc://host:port"))


def _azure(settings: Settings) -> dict[str, Any]:
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


def _wired(settings: Settings, lake: LakeResource, engine: str) -> dict[str, Any]:
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
            uri=checked_registry(
                settings.get("AQUIFER_MLFLOW") or f"sqlite:///{home(settings)}/mlflow/mlflow.db"
            ),
            folder=str(home(settings) / "mlflow"),
            lake=lake,
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
