"""Loops: steps of a stream that run beside each other, each on what the one before has committed.

Belongs here: threads, pace, beginning and end. Does not: what a step does (`drain`).
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Event


@dataclass(frozen=True)
class Loop:
    """A step that is taken again and again.

    Args:
        name: of its thread.
        step: takes in what is new; whether anything was. It is told whether the loop before it has
            ended, so that nothing more will come.
        pace: the least seconds from one step that finds something to the next. What comes in
            meanwhile is taken in together, which costs less.
        pause: seconds until the next step when one found nothing and the loop before has no news.
        within: what the loop's thread enters before its first step, and leaves after its last.
    """

    name: str
    step: Callable[[bool], bool]
    pace: float = 0.0
    pause: float = 0.1
    within: Callable[[], AbstractContextManager[None]] = nullcontext
    news: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)


class Loops:
    """Loops in order, the source first.

    When the source is to end, each of the others ends once it finds nothing more, so that what has
    come in is everywhere. When one fails, all end as soon as their steps do.
    """

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops
        self._ending = Event()
        self._failed = Event()
        self.found_at = time.monotonic()
        """When the source found something last."""

    def run(self, meanwhile: Callable[[], bool], every: float) -> None:
        """Run until all have ended, and raise what one of them raised.

        Args:
            meanwhile: called every so many seconds; whether the source is to end.
        """
        with ThreadPoolExecutor(len(self._loops)) as pool:
            try:
                working = [pool.submit(self._work, place) for place in range(len(self._loops))]
                while not self._all_done(working, every):
                    if meanwhile():
                        self._ending.set()
            except BaseException:
                self._fail()
                raise
            for future in working:
                future.result()

    def _all_done(self, working: Sequence[Future[None]], patience: float) -> bool:
        done, others = wait(working, patience)
        if any(future.exception() for future in done):
            self._fail()
        return not others

    def _fail(self) -> None:
        self._failed.set()
        for loop in self._loops:
            loop.news.set()

    def _work(self, place: int) -> None:
        loop = self._loops[place]
        try:
            with loop.within():
                while self._step(loop, place):
                    pass
        finally:
            loop.ended.set()
            self._tell(place)

    def _step(self, loop: Loop, place: int) -> bool:
        """Take a step and keep the pace; whether another is to follow."""
        # Asked before the step, which then sees all that there will be.
        last = self._loops[place - 1].ended.is_set() if place else self._ending.is_set()
        begun = time.monotonic()
        found = loop.step(last)
        if found:
            self._tell(place)
            self._failed.wait(max(0.0, loop.pace - (time.monotonic() - begun)))
        elif not last:
            loop.news.wait(loop.pause)
            loop.news.clear()
        return not (self._failed.is_set() or (last and (not found or not place)))

    def _tell(self, place: int) -> None:
        if not place:
            self.found_at = time.monotonic()
        if place + 1 < len(self._loops):
            self._loops[place + 1].news.set()
