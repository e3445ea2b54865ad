"""What runs say of models that they cannot train or score, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.errors import SettingError
from aquifer.models.errors import ScoringError


@contextmanager
def told() -> Iterator[None]:
    """Fail a step with one line, and at once where a retry cannot help."""
    with permanent_errors_fail_at_once():
        try:
            from aquifer.models.scorer import NotFinite
        except ModuleNotFoundError as error:
            raise SettingError(
                f"models take the package {error.name}, which is not installed; `make models` "
                "installs what they need"
            ) from error
        try:
            yield
        except NotFinite as error:
            raise ScoringError(f"{error}; its predictions stay as they are") from error
