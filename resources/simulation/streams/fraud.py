"""Fraud at the tills: which events are fraudulent and who commits them, in blocks of some minutes.

Belongs here: who does what, where and when; also honest people who do alike. Does not: what their
receipts look like (`disguise`), how much of it there is (`scenarios`), who finds out (`verdicts`).

Most fraud is committed by gangs: a dishonest cashier in each shift of a store, and members who are
their friends. A gang is busy for some weeks, then another takes its place.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import NamedTuple

from resources.simulation.streams.openloop import TopicSlots
from resources.simulation.streams.scenarios import Pattern, Scenario
from resources.simulation.streams.voids import Part, Till, Voids

BLOCK_SECONDS = 240
WEEK_US = 604_800_000_000
SHIFT_US = 28_800_000_000
SHIFTS = 3

TERM_WEEKS = 3
"""How long a gang is busy."""

FEWEST_GANGS = 4
CASHIERS_A_GANG = 30
BY_GANGS = 0.75
"""The share of fraud that they commit; the rest is done by anybody."""

LOOSE_STORES = 3
AT_LOOSE_STORES = 0.6
"""The share of gangs who are in the few stores where nobody looks closely."""

FRIENDS = 4
TESTS = (5, 11)
"""How many cards are tried in a row; honest rushes are about as long."""

TEST_SECONDS = 90
VOIDED_AFTER = (8, 100)
"""Seconds from a sale to its void."""

NIGHT = {20, 21, 22, 23, 0, 1, 2, 3}
"""Hours of UTC in which refunds are four times as often fraudulent as by day."""


class Act(NamedTuple):
    """What an event of the tills is, if not by chance alone."""

    pattern: Pattern
    is_fraud: bool
    boldness: float
    """From 0 to 1: how far it is from what everybody does."""
    part: Part
    member: str | None = None


class Gang(NamedTuple):
    """A store, the registers of its dishonest cashiers by shift, and their friends."""

    store: int
    registers: Sequence[int]
    friends: Sequence[str]


class Frauds:
    """The acts of a topic's events: a pure function of identity, scenario and an event's number.

    Args:
        identity: what the random numbers are drawn from.
        slots: when the events are sent.
        voids: what plays a part in an honest void is left alone.
        stores: how many there are.
        registers: how many a store has.
        members: who may be somebody's friend.
    """

    def __init__(
        self,
        identity: str,
        scenario: Scenario,
        slots: TopicSlots,
        voids: Voids,
        stores: int,
        registers: int,
        members: Sequence[str],
    ) -> None:
        self._identity = identity
        self._scenario = scenario
        self._slots = slots
        self._voids = voids
        self._stores = stores
        self._registers = registers
        self._members = members
        self._gangs = max(FEWEST_GANGS, stores * registers * SHIFTS // CASHIERS_A_GANG)
        self.block = slots.within(BLOCK_SECONDS, least=64)
        """How many events are planned together."""
        # As far back as what is returned was sold.
        self.planned = lru_cache(maxsize=3600 // BLOCK_SECONDS + 2)(self._plan)
        """The acts of a block, by the number of the event."""
        self._gang = lru_cache(maxsize=4096)(self._gang_of)

    def act(self, k: int) -> Act | None:
        """What the k-th event is; None for nearly all."""
        return self.planned(k // self.block).get(k)

    def _plan(self, block: int) -> Mapping[int, Act]:
        dice, acts = Random(f"{self._identity}/fraud/{block}"), dict[int, Act]()
        began_us = self._slots.due_us(block * self.block)
        for is_fraud, shares in (
            (True, self._scenario.fraud),
            (False, self._scenario.lookalikes),
        ):
            for pattern, share in shares.items():
                each = sum(TESTS) / 2 if pattern is Pattern.card_testing else 1
                if is_fraud and pattern is Pattern.refund:
                    share *= 2 if began_us // 3_600_000_000 % 24 in NIGHT else 0.5
                for _ in range(int(self.block * share / each + dice.random())):
                    ks = self._events(dice, block * self.block, pattern)
                    if all(k not in acts and self._voids.part(k) is None for k in ks):
                        incident = self._acts(dice, ks, pattern, is_fraud, began_us)
                        acts |= zip(ks, incident, strict=True)
        return acts

    def _events(self, dice: Random, first: int, pattern: Pattern) -> Sequence[int]:
        """The events of a block that belong to one incident."""
        if pattern is Pattern.void_after_sale:
            gap = self._slots.within(dice.uniform(*VOIDED_AFTER))
            sale = first + dice.randrange(self.block - gap)
            return sale, sale + gap
        if pattern is Pattern.card_testing:
            count = dice.randint(*TESTS)
            span = min(self.block, self._slots.within(TEST_SECONDS, least=2 * count))
            begin = first + dice.randrange(self.block - span + 1)
            return sorted(dice.sample(range(begin, begin + span), count))
        return (first + dice.randrange(self.block),)

    def _acts(
        self, dice: Random, ks: Sequence[int], pattern: Pattern, is_fraud: bool, at_us: int
    ) -> Iterator[Act]:
        """What the events of an incident are."""
        till, friends = None, self._members
        if is_fraud and dice.random() < BY_GANGS:
            gang = self._gang(dice.randrange(self._gangs), at_us // WEEK_US)
            till = Till(gang.store, gang.registers[at_us // SHIFT_US % SHIFTS])
            friends = gang.friends
        elif pattern is Pattern.card_testing:
            till = Till(dice.randrange(self._stores), dice.randrange(self._registers))
        member = dice.choice(friends) if friends else None
        boldness = (max if is_fraud else min)(dice.random(), dice.random())
        if pattern is Pattern.void_after_sale:
            sale, _ = ks
            # The buyer did buy; what is wrong is the void.
            yield Act(pattern, False, boldness, Part(till=till))
            yield Act(pattern, is_fraud, boldness, Part(voids=sale))
            return
        for _ in ks:
            yield Act(pattern, is_fraud, boldness, Part(till=till), member)

    def _gang_of(self, number: int, week: int) -> Gang:
        # By turns, so that not all change in one week.
        term = (week + number) // TERM_WEEKS
        dice = Random(f"{self._identity}/gang/{number}/{term}")
        loose = Random(f"{self._identity}/loose/{term}")
        stores = loose.sample(range(self._stores), min(LOOSE_STORES, self._stores))
        return Gang(
            dice.choice(stores)
            if dice.random() < AT_LOOSE_STORES
            else dice.randrange(self._stores),
            [dice.randrange(self._registers) for _ in range(SHIFTS)],
            dice.sample(self._members, min(FRIENDS, len(self._members))),
        )
