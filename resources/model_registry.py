"""Which model registry a URI names; loaded without Dagster, for commands that are in a hurry."""

from pathlib import Path
from typing import TYPE_CHECKING

from aquifer.errors import SettingError
from resources.database import SCHEME, leases_of

if TYPE_CHECKING:
    from aquifer.models.registry import Registry

SCHEMES = ("sqlite", "postgresql", "http", "https")

DRIVER = "postgresql+psycopg2://"
"""The driver that is installed: SQLAlchemy takes another one by itself."""


def opened(uri: str, folder: Path, leases: str) -> "Registry":
    """The registry of a URI.

    Args:
        uri: MLflow's tracking URI.
        folder: of artifacts, studies and fetched bundles.
        leases: folder of the leases, or URL of PostgreSQL; PostgreSQL as registry has them itself.
    """
    from aquifer.models.registry import Registry

    folder.mkdir(parents=True, exist_ok=True)
    # A server keeps artifacts where it was told to.
    artifacts = None if uri.startswith("http") else str(folder / "artifacts")
    if uri.startswith(SCHEME):
        # Its tables are made by one at a time, on whatever machine. Whether it answers is found out
        # by that, too: MLflow would go on asking for minutes.
        leases, uri = uri, f"{DRIVER}{uri.removeprefix(SCHEME)}"
    return Registry(uri, artifacts, folder / "bundles", leases_of(leases))


def checked(uri: str) -> str:
    """The URI, if it is one of a registry.

    Raises:
        SettingError: it is of another kind.
    """
    scheme = uri.partition(":")[0]
    if scheme not in SCHEMES:
        raise SettingError(
            f"AQUIFER_MLFLOW begins with '{scheme}'; write http://host:port of an MLflow server, "
            "or postgresql://user:password@host:port/database"
        )
    return uri
