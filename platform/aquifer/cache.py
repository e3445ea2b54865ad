"""Caches: answers that are kept for a while, so that they are computed once.

Belongs here: what a cache promises. Does not: a cache (resources), and what is kept in it
(`serving`). What is kept is named by all that it was computed from, so that a cache can lose
anything at any time, and never gives a wrong answer.
"""

from typing import Protocol


class Cache(Protocol):
    """Keeps values by key for a time to live."""

    def get(self, key: str) -> bytes | None:
        """The value of a key, if it is there."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keep a value; values whose time is over may go."""
        ...
