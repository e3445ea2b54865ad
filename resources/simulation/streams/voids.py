"""Voids: which sales are voided, by which event, in blocks of ten minutes.

A sale and its void must each know of the other. So they are drawn together, for a block at a time,
from the block's own random numbers.
"""

from functools import lru_cache
from random import Random
from typing import NamedTuple

BLOCK_SECONDS = 600
VOIDED = 0.002
OVERTAKING = 0.0005
SPREE_EVERY = 16_384
"""Events for each cashier who voids three or more sales within minutes."""

SPREE_SECONDS = 480


class Till(NamedTuple):
    """A register of a store, both by number."""

    store: int
    register: int


class Part(NamedTuple):
    """The part that an event plays in a void."""

    voids: int | None = None
    """The event that it voids."""
    voided_before: int | None = None
    """The void of it, which is sent first."""
    till: Till | None = None
    """Where it happens, if that matters."""


class Voids:
    """The parts of a topic's events: a pure function of the identity and an event's number.

    Args:
        identity: what the random numbers are drawn from.
        rate: events a second.
        stores: how many there are.
        registers: how many a store has.
    """

    def __init__(self, identity: str, rate: float, stores: int, registers: int) -> None:
        self._identity = identity
        self._rate = rate
        self._stores = stores
        self._registers = registers
        self._size = max(64, round(rate * BLOCK_SECONDS))
        self._planned = lru_cache(maxsize=16)(self._plan)

    def part(self, k: int) -> Part | None:
        """The part of the k-th event; None for nearly all."""
        block, place = divmod(k, self._size)
        return self._planned(block).get(place)

    def _plan(self, block: int) -> dict[int, Part]:
        dice = Random(f"{self._identity}/voids/{block}")
        first, parts = block * self._size, dict[int, Part]()
        for _ in range(int(self._size / SPREE_EVERY + dice.random())):
            self._spree(dice, first, parts)
        for _ in range(int(self._size * VOIDED + dice.random())):
            sale, void = self._pair(dice, 5, 180)
            if void < self._size and not {sale, void} & parts.keys():
                parts[sale] = Part()
                parts[void] = Part(voids=first + sale)
        for _ in range(int(self._size * OVERTAKING + dice.random())):
            void, sale = self._pair(dice, 1, 20)
            if sale < self._size and not {sale, void} & parts.keys():
                parts[void] = Part(voids=first + sale)
                parts[sale] = Part(voided_before=first + void)
        return parts

    def _pair(self, dice: Random, least: float, most: float) -> tuple[int, int]:
        """Two places some seconds apart; the second may lie behind the block."""
        one = dice.randrange(self._size)
        return one, one + max(1, round(self._rate * dice.uniform(least, most)))

    def _spree(self, dice: Random, first: int, parts: dict[int, Part]) -> None:
        """One cashier's sales, each voided soon."""
        till = Till(dice.randrange(self._stores), dice.randrange(self._registers))
        count = 2 * dice.choice([3, 3, 4])
        span = max(2 * count, min(self._size, round(self._rate * SPREE_SECONDS)))
        begin = dice.randrange(self._size - span + 1) if span < self._size else 0
        places = sorted(dice.sample(range(begin, begin + span), count))
        if parts.keys().isdisjoint(places):
            for sale, void in zip(places[::2], places[1::2], strict=True):
                parts[sale] = Part(till=till)
                parts[void] = Part(voids=first + sale)
