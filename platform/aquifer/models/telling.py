"""What runs say of models that they cannot train or score, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.models.errors import ScoringError
from aquifer.models.packages import refuse_without_packages


@contextmanager
def told() -> Iterator[None]:
    """Fail a step with one line, and at once where a retry cannot help."""
    with permanent_errors_fail_at_once():
        refuse_without_packages()
        from aquifer.models.scorer import NotFinite

        try:
            yield
        except NotFinite as error:
            raise ScoringError(f"{error}; its predictions stay as they are") from error
