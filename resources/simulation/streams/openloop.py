"""The open loop: which slot is sent when, and to which topic.

Slot n is due at start + n / rate, whether or not the slots before it were sent in time. Topics take
turns in a fixed cycle, by their shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from aquifer.errors import SettingError
from aquifer.instants import micros

SHARES: Mapping[str, int] = {
    "pos.events": 6,
    "web.events": 2,
    "mobile.events": 1,
    "iot.readings": 1,
}
"""The topics, and the slots that each has of a cycle."""

SLOWEST, FASTEST = 0.01, 1_000_000
"""Events a second."""

EARLIEST, LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Between these a stream may start."""


@dataclass(frozen=True)
class OpenLoop:
    """The slots: n-th event, due at an instant in microseconds since 1970."""

    start_us: int
    step_us: Fraction
    turns: Sequence[str]

    def due_us(self, slot: int) -> int:
        """When a slot is due."""
        return self.start_us + slot * self.step_us.numerator // self.step_us.denominator

    def due(self, now_us: int) -> int:
        """How many slots are due."""
        waited = max(now_us - self.start_us + 1, 0)
        return -(-waited * self.step_us.denominator // self.step_us.numerator)

    @property
    def rate(self) -> float:
        """Slots a second."""
        return float(1_000_000 / self.step_us)


class TopicSlots:
    """The slots of one topic, counted by themselves: its k-th event."""

    def __init__(self, loop: OpenLoop, topic: str) -> None:
        turns = loop.turns
        self._loop = loop
        self._places = [place for place, turn in enumerate(turns) if turn == topic]
        self._before = [turns[:place].count(topic) for place in range(len(turns))]
        self.rate = loop.rate * len(self._places) / len(turns)
        """Events of the topic a second."""

    def before(self, slot: int) -> int:
        """How many of the topic's events come before a slot of the loop."""
        cycles, place = divmod(slot, len(self._before))
        return cycles * len(self._places) + self._before[place]

    def due_us(self, k: int) -> int:
        """When the topic's k-th event is due."""
        cycles, place = divmod(k, len(self._places))
        return self._loop.due_us(cycles * len(self._before) + self._places[place])

    def within(self, seconds: float, least: int = 1) -> int:
        """How many of the topic's events so many seconds take."""
        return max(least, round(self.rate * seconds))


def open_loop(start: datetime, rate: float, topics: Sequence[str]) -> OpenLoop:
    """The loop of some topics; without any named, of all.

    Raises:
        SettingError: there is no such topic, or the rate or start is out of range.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise SettingError(
            f"the rate is {rate:g} events a second; use one from {SLOWEST} to {FASTEST:,}"
        )
    if not EARLIEST <= start <= LATEST:
        raise SettingError(
            f"the start is {start.isoformat()}; use one from {EARLIEST.year} to {LATEST.year}"
        )
    for topic in topics:
        if topic not in SHARES:
            raise SettingError(f"no topic '{topic}' is simulated; use {', '.join(SHARES)}")
    chosen = {topic: SHARES[topic] for topic in SHARES if topic in (topics or SHARES)}
    # To thousandths of an event a second: every rate that a person writes is exact.
    step = Fraction(1_000_000) / Fraction(rate).limit_denominator(1000)
    return OpenLoop(micros(start), step, _turns(chosen))


def _turns(shares: Mapping[str, int]) -> list[str]:
    """A cycle in which each topic's turns are spread evenly."""
    credit = dict.fromkeys(shares, 0)
    turns = []
    for _ in range(sum(shares.values())):
        for topic, weight in shares.items():
            credit[topic] += weight
        topic = max(credit, key=credit.__getitem__)
        credit[topic] -= sum(shares.values())
        turns.append(topic)
    return turns
