"""The packages that models take: an extra, which not everyone installs."""

from importlib.util import find_spec

from aquifer.errors import SettingError

PACKAGES = ("mlflow", "lightgbm", "onnxruntime", "optuna", "evidently", "fastapi")
"""Some of the extra `ml`, which is installed as a whole."""


def missing_packages() -> list[str]:
    """Of the packages those that are not installed."""
    return [name for name in PACKAGES if not find_spec(name)]


def refuse_without_packages() -> None:
    """Raise SettingError where what models take is not installed."""
    if missing := missing_packages():
        raise SettingError(
            f"models take {', '.join(missing)}, which is not installed; `make models` installs "
            "what they need"
        )
