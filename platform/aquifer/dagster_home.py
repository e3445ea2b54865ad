"""The Dagster home under AQUIFER_HOME.

Belongs here: where Dagster keeps its runs, events and schedules. Does not: what it does with them.
"""

import os
from importlib.util import find_spec
from pathlib import Path

import yaml

from aquifer.errors import SettingError
from aquifer.plugins import PROJECT, plugin

FILES = ("event_log_storage", "run_storage", "schedule_storage")
"""What of `dagster.yaml` says that they are files of the home."""

DATABASE = "AQUIFER_DAGSTER_DATABASE"
"""The environment variable from which Dagster takes the URL, which may hold a password."""


def dagster_home(home: Path, template: Path, database: str | None = None) -> dict[str, str]:
    """Make the Dagster home of AQUIFER_HOME, with the project's `dagster.yaml`.

    Args:
        database: URL of the PostgreSQL database that Dagster's storage is in; None: in files.

    Returns:
        The environment variables by which Dagster finds it.

    Raises:
        SettingError: it cannot be made, or Dagster cannot use PostgreSQL here.
    """
    if database and not find_spec("dagster_postgres"):
        raise SettingError(
            "AQUIFER_DATABASE needs Dagster's PostgreSQL storage; install it with: "
            "pip install 'aquifer[postgres]'"
        )
    folder = home / "dagster"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dagster.yaml").write_text(_instance(template, database), encoding="utf-8")
    except OSError as error:
        raise SettingError(
            f"cannot write {folder}: {error.strerror}; set AQUIFER_HOME to a folder you may write"
        ) from error
    found = {"DAGSTER_HOME": str(folder)}
    if database:
        # SQLAlchemy else takes a driver that Dagster does not.
        found[DATABASE] = database.replace("postgresql://", "postgresql+psycopg2://", 1)
    return found


def _instance(template: Path, database: str | None) -> str:
    text = template.read_text(encoding="utf-8")
    if not database:
        return text
    settings = yaml.safe_load(text)
    kept = {name: value for name, value in settings.items() if name not in FILES}
    postgres = {"postgres": {"postgres_url": {"env": DATABASE}}}
    return yaml.safe_dump({**kept, "storage": postgres})


def prepared_home() -> Path:
    """AQUIFER_HOME, with the Dagster home below it made and named to Dagster."""
    environment = plugin("environment")
    home: Path = environment.home()
    os.environ.update(dagster_home(home, PROJECT / "dagster.yaml", environment.database()))
    # Loaded where it is needed: a query waits for no storage of Dagster's.
    from aquifer.dagster_event_log import BATCH_SIZE

    os.environ.update(BATCH_SIZE)
    return home
