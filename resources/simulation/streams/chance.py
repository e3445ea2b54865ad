"""Random numbers that belong to a place: the same, whatever was asked for before."""

from hashlib import blake2b
from struct import Struct

_PLACE = Struct("<Q").pack
_NUMBERS = Struct("<16I").unpack

FULL = 1 << 32
"""One more than the largest number of a throw."""


class Dice:
    """A throw of 16 numbers of 32 bits for each place, from a hash."""

    def __init__(self, *identity: object) -> None:
        whole = "/".join(map(str, identity)).encode()
        self._key = blake2b(whole, digest_size=32).digest()

    def throw(self, place: int) -> tuple[int, ...]:
        """The numbers of a place."""
        return _NUMBERS(blake2b(_PLACE(place), key=self._key, digest_size=64).digest())


def share(part: float) -> int:
    """The bound below which so large a part of all numbers lies."""
    return round(part * FULL)
