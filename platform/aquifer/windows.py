"""Windows of event time: which ones an instant is in.

Belongs here: windows of fixed length (tumbling, sliding) and of activity (session). Does not: what
is computed in them (`stream_windows`, `stream_sessions`).
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

MICROSECOND = timedelta(microseconds=1)

Instants = np.ndarray[Any, np.dtype[np.int64]]
"""Microseconds since 1970."""


@dataclass(frozen=True)
class Sliding:
    """Windows of one length, half-open, that begin at multiples of `every` since 1970.

    Args:
        size: their length, a multiple of `every`.
        every: how far one begins after another.
    """

    size: timedelta
    every: timedelta

    @property
    def size_us(self) -> int:
        return self.size // MICROSECOND

    @property
    def every_us(self) -> int:
        return self.every // MICROSECOND

    @property
    def overlap(self) -> int:
        """How many windows an instant is in."""
        return self.size_us // self.every_us

    def begins(self, at: Instants) -> Instants:
        """The beginnings of the windows of each instant, a row an instant."""
        latest = at - at % self.every_us
        places = np.arange(self.overlap, dtype=np.int64) * self.every_us
        begins: Instants = latest[:, np.newaxis] - places[np.newaxis, :]
        return begins

    def assigned(self, rows: str, time: str) -> str:
        """SQL of rows with the `window_start` and `window_end` of each of their windows."""
        latest = f"unix_micros({time}) - pmod(unix_micros({time}), {self.every_us})"
        begins = ", ".join(f"{latest} - {n * self.every_us}" for n in range(self.overlap))
        begin = f"explode(array({begins}))" if self.overlap > 1 else latest
        return (
            "select *, timestamp_micros(_begin) as window_start, "
            f"timestamp_micros(_begin + {self.size_us}) as window_end "
            f"from (select *, {begin} as _begin from ({rows}))"
        )


def tumbling(size: timedelta) -> Sliding:
    """Windows of one length, one after the other."""
    return Sliding(size, size)


@dataclass(frozen=True)
class Session:
    """Windows of activity, each from its first event until `gap` after its last.

    Args:
        gap: the pause after which another begins.
    """

    gap: timedelta

    @property
    def gap_us(self) -> int:
        return self.gap // MICROSECOND
