"""How a windowed table is declared: a query, and a few lines that say which windows it is over."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from aquifer.contract import Contract, seconds
from aquifer.event_source import EventSource
from aquifer.fixed_windows import FixedWindows
from aquifer.session_windows import SessionWindows
from aquifer.stream_windows import LATENESS, Dimension, WindowedTable
from aquifer.windows import Session, Sliding

EVERY = seconds(10)


def windowed(
    contract: type[Contract],
    *,
    reads: EventSource | Mapping[str, EventSource],
    window: Sliding | Session,
    by: Sequence[str] = (),
    label: str = "",
    lateness: timedelta = LATENESS,
    every: timedelta = EVERY,
    dimensions: Sequence[Dimension] = (),
) -> Callable[[Callable[[], str]], WindowedTable]:
    """Declare a windowed table by a function that gives its query; its name is the table's.

    The query is over `events`; see `WindowedTable`.

    Args:
        reads: a source, or several by label; an event's label is its column `label`.
        by: of sessions, the columns of an event that say whose session it belongs to.
    """

    def declare(query: Callable[[], str]) -> WindowedTable:
        sources = {"": reads} if isinstance(reads, EventSource) else reads
        shared = (sources, query(), label, lateness, dimensions)
        name = f"stream.{query.__name__}"
        if isinstance(window, Session):
            return SessionWindows(name, contract, *shared, window, by, every=every)
        return FixedWindows(name, contract, *shared, window, every=every)

    return declare
