"""Features of an event at its instant: what it is, and what happened in the time before it.

Belongs here: how they are declared, and the one query that training and the stream take them from.
Does not: what somebody was like at the end of a day (`view`).

A query is given the events of a bounded time before those that are asked about, so that it costs
as much in the stream as there is to score. It must not look further back, nor at what happened at
the instant of an event or after: training, which sees more, else learns what the stream never has.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from aquifer.contract import Record, contract_fields
from aquifer.features.view import DatedTable
from aquifer.silver_events import EventTable
from aquifer.spans import Span, joined, within
from aquifer.windows import MICROSECOND


@dataclass(frozen=True, eq=False)
class EventFeatures:
    """Features of events, a row an event.

    Args:
        name: what errors call them.
        contract: the key of the events, and features.
        events: the table of events.
        looks_up: tables that are looked up as they stand.
        back: how far before an event the query looks.
        query: SQL over `asked`, the keys of events, `events`, which holds these and those of the
            time before, and the other tables, named without their layer; a row an event that is
            asked about.
    """

    name: str
    contract: type[Record]
    events: EventTable
    looks_up: Sequence[DatedTable]
    back: timedelta
    query: str

    @property
    def key(self) -> str:
        """The column that says which event a row is of."""
        (key,) = (field.name for field in contract_fields(self.contract) if field.is_key)
        return key

    @cached_property
    def features(self) -> list[str]:
        """The columns of the features."""
        return [f.name for f in contract_fields(self.contract) if f.name != self.key]

    @property
    def upstreams(self) -> list[str]:
        """The tables that they are computed from, that of the events first."""
        return [self.events.name, *(table.name for table in self.looks_up)]

    @property
    def code(self) -> str:
        """What decides the rows."""
        return f"{self.query} {self.back}"

    def spans(self, instants: Iterable[int]) -> list[Span]:
        """The times to look at for events at some instants, in microseconds since 1970."""
        back = self.back // MICROSECOND
        return joined(Span(at - back, at + 1) for at in {*instants})

    def sql(self, asked: str, spans: Sequence[Span], relation: Callable[[str], str]) -> str:
        """SQL of the features of events, which the key tells apart.

        Args:
            asked: SQL of the keys of the events.
            spans: the times to look at.
            relation: SQL of the live rows of a table.
        """
        events = f"select * from ({relation(self.events.name)}) where "
        relations = {
            "asked": asked,
            "events": events + within(self.events.time, spans),
            **{table.name.partition(".")[2]: relation(table.name) for table in self.looks_up},
        }
        named = ", ".join(f"{name} as ({query})" for name, query in relations.items())
        columns = ", ".join(
            f"cast(`{field.name}` as {field.spark_type}) as `{field.name}`"
            for field in contract_fields(self.contract)
        )
        return f"with {named} select {columns} from ({self.query})"


def event_features(
    contract: type[Record],
    *,
    events: EventTable,
    looks_up: Sequence[DatedTable] = (),
    back: timedelta,
) -> Callable[[Callable[[], str]], EventFeatures]:
    """Declare features of events by a function that gives their query, after which they are named.

    Args:
        contract, events, looks_up, back: as of `EventFeatures`.
    """

    def declare(query: Callable[[], str]) -> EventFeatures:
        return EventFeatures(query.__name__, contract, events, looks_up, back, query())

    return declare
