"""The things in the stores: freezers with a door, counters at the entrances, energy meters.

A freezer's temperature and its door are readings of one device. A door reports when it is opened
and when it is closed.
"""

from functools import lru_cache
from math import sin
from typing import NamedTuple

from resources.simulation.streams.catalogue import Catalogue
from resources.simulation.streams.chance import Dice, share
from resources.simulation.streams.encoding import happened_us, instant_text, uuid7
from resources.simulation.streams.openloop import TopicSlots

FREEZERS, ENTRANCES = 6, 2
SECOND = 1_000_000
HOUR = 3600 * SECOND
QUARTER = HOUR // 4
WARMING = share(1 / 8)
"""The share of a freezer's hours in which it gets warm, for 6 to 14 minutes."""


class Spell(NamedTuple):
    """A freezer above -15 C, and when its door was opened and closed, all in microseconds."""

    begin: int
    end: int
    door: tuple[tuple[int, int], ...]
    """Instants and states: 1 open, 0 closed."""


class Things:
    """The readings of all devices, which report in turns.

    Args:
        identity: what the random numbers are drawn from.
        slots: when the readings are sent.
    """

    def __init__(self, identity: str, slots: TopicSlots, catalogue: Catalogue) -> None:
        self._dice = Dice(identity, "readings")
        self._spells = Dice(identity, "freezers")
        self._slots = slots
        kinds = [("freezer", n + 1) for n in range(FREEZERS)]
        kinds += [("entrance", n + 1) for n in range(ENTRANCES)] + [("meter", 1)]
        self._devices = [(store, *kind) for kind in kinds for store in catalogue.stores]
        self._turn_us = round(len(self._devices) / slots.rate * SECOND)
        self._spell = lru_cache(maxsize=1024)(self._spell_of_hour)

    def throw(self, k: int) -> tuple[int, ...]:
        """The random numbers of the k-th reading; the last is nobody's here."""
        return self._dice.throw(k)

    def linked(self, k: int) -> bool:
        """No reading is tied to another."""
        return False

    def event(self, k: int, numbers: tuple[int, ...]) -> tuple[str, str]:
        """Key and value of the k-th reading, from its throw."""
        turn, place = divmod(k, len(self._devices))
        store, kind, n = self._devices[place]
        due_us = self._slots.due_us(k)
        at_us = happened_us(due_us, numbers[3])
        if kind == "freezer":
            moved = self._door(place, turn, due_us)
            if moved:
                at_us, state = moved
                reading = f'"type":"door","value":{state},"unit":"open"'
            else:
                degrees = self._degrees(place, at_us, numbers[7])
                reading = f'"type":"temperature","value":{degrees:.2f},"unit":"C"'
        elif kind == "entrance":
            people = numbers[7] % 4 + numbers[8] % (1 + self._turn_us // (15 * SECOND))
            reading = f'"type":"footfall","value":{people},"unit":"people"'
        else:
            used = self._turn_us / HOUR * (30 + numbers[7] % 2000 / 100)
            reading = f'"type":"energy","value":{used:.4f},"unit":"kWh"'
        device = f"{store}-{kind}-{n}"
        return device, (
            f'{{"event_id":"{uuid7(at_us, k, numbers[13] << 32 | numbers[14])}",'
            f'"event_time":"{instant_text(at_us)}","sent_at":"{instant_text(due_us)}",'
            f'"store_id":"{store}","device_id":"{device}",{reading}}}'
        )

    def _door(self, freezer: int, turn: int, due_us: int) -> tuple[int, int] | None:
        """What its door did since the freezer's turn before: when, and 1 open or 0 closed."""
        since = self._slots.due_us((turn - 1) * len(self._devices) + freezer) if turn else due_us
        hours = {since // HOUR, due_us // HOUR}
        moves = [move for hour in hours for move in self._spell(freezer, hour).door]
        return next((move for move in moves if since < move[0] <= due_us), None)

    def _degrees(self, freezer: int, at_us: int, number: int) -> float:
        noise = number % 1000 / 1000 - 0.5
        spell = self._spell(freezer, at_us // HOUR)
        if spell.begin <= at_us < spell.end:
            return -12 + 2 * noise
        if spell.begin - 90 * SECOND <= at_us < spell.end + 180 * SECOND:
            return -16.5 + noise
        return -20 + sin(at_us / (240 * SECOND) + freezer) + noise

    def _spell_of_hour(self, freezer: int, hour: int) -> Spell:
        """The hour of a freezer: warm for a while, or only opened now and then."""
        numbers = self._spells.throw(hour * len(self._devices) + freezer)
        # Longer than a turn, so that a turn sees one move of the door at most.
        opened_us = max(20 * SECOND, self._turn_us * 3 // 2)
        if numbers[0] >= WARMING:
            begins = [
                hour * HOUR + quarter * QUARTER + numbers[1 + quarter] % (QUARTER // 3)
                for quarter in range(4)
            ]
            return Spell(0, 0, tuple(m for at in begins for m in ((at, 1), (at + opened_us, 0))))
        begin = hour * HOUR + (8 * 60 + numbers[1] % 1800) * SECOND
        end = begin + (6 * 60 + numbers[2] % 480) * SECOND
        door = (
            # Left open, and closed in time, and a broken cooling.
            ((begin - opened_us, 1), (end + opened_us, 0)),
            ((begin - opened_us, 1), (begin + opened_us, 0)),
            (),
        )[numbers[3] % 3]
        return Spell(begin, end, door)
