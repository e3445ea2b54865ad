"""Verdicts: what investigations find out of the tills' events, some minutes later.

All fraud is found. Every twentieth event is looked at whatever it is; most of these are genuine.
What arrives broken or not at all is not looked at: a verdict is on an event that was sent.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from aquifer.eventlog import PRODUCED
from resources.simulation.streams.chance import Dice
from resources.simulation.streams.dirt import DIRTY
from resources.simulation.streams.encoding import instant_text, uuid7
from resources.simulation.streams.openloop import TopicSlots
from resources.simulation.streams.tills import Tills

TOPIC = "pos.verdicts"

AUDITED_EVERY = 20
"""Events of the tills for one that is looked at in any case."""

DECIDED_WITHIN = (120, 1200)
"""Seconds from an event to its verdict."""

NOTHING = PRODUCED.empty_table()


class Verdicts:
    """The verdicts, each sent with an event of the tills: a pure function of that one's number.

    Args:
        identity: what the random numbers are drawn from.
        slots: when the events of the tills are sent.
    """

    def __init__(self, identity: str, tills: Tills, slots: TopicSlots) -> None:
        self._dice = Dice(identity, "verdicts")
        self._tills = tills
        self._slots = slots
        self._least, self._most = (slots.within(seconds) for seconds in DECIDED_WITHIN)
        blocks = self._most // tills.frauds.block + 2
        self._decided = lru_cache(maxsize=2 * blocks)(self._decided_of)

    def sent_with(self, ks: range) -> pa.Table:
        """The verdicts that are sent with some events of the tills, as the event log takes them."""
        size = self._tills.frauds.block
        first, last = max(0, ks.start - self._most), ks.stop - self._least
        found: list[tuple[int, int]] = []
        for block in range(first // size, max(0, last - 1) // size + 1):
            decided = self._decided(block)
            found += decided[bisect_left(decided, (ks.start,)) : bisect_left(decided, (ks.stop,))]
        rows = [self._written(sent, k) for sent, k in sorted(found)]
        return pa.table([*zip(*rows, strict=True)], schema=PRODUCED) if rows else NOTHING

    def _decided_of(self, block: int) -> Sequence[tuple[int, int]]:
        """The verdicts on a block's events: with which event each is sent, and on which it is."""
        frauds = self._tills.frauds
        ks = range(block * frauds.block, (block + 1) * frauds.block)
        found = {k for k, act in frauds.planned(block).items() if act.is_fraud}
        audited = range(ks.start + -ks.start % AUDITED_EVERY, ks.stop, AUDITED_EVERY)
        found |= {k for k in audited if self._arrives(k)}
        spread = self._most - self._least + 1
        return sorted((k + self._least + self._dice.throw(k)[0] % spread, k) for k in found)

    def _arrives(self, k: int) -> bool:
        return self._tills.linked(k) or self._tills.throw(k)[15] >= DIRTY

    def _written(self, sent: int, k: int) -> tuple[bytes, bytes, int]:
        """Key, value and timestamp of the verdict on the k-th event."""
        numbers, due_us = self._dice.throw(k), self._slots.due_us(sent)
        decided_us = due_us - 20_000 - numbers[1] % 1_000_000
        act, event_id = self._tills.frauds.act(k), self._tills.event_id(k)
        found = (
            f'true,"pattern":"{act.pattern}"' if act and act.is_fraud else 'false,"pattern":null'
        )
        value = (
            f'{{"verdict_id":"{uuid7(decided_us, k, numbers[2] << 32 | numbers[3])}",'
            f'"event_id":"{event_id}","decided_at":"{instant_text(decided_us)}",'
            f'"sent_at":"{instant_text(due_us)}","is_fraud":{found}}}'
        )
        return event_id.encode(), value.encode(), due_us
