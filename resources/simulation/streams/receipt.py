"""Receipts: what a till knows of a sale, return or void, before it is written as an event."""

from collections.abc import Sequence
from typing import NamedTuple

from resources.simulation.streams.voids import Till


class Line(NamedTuple):
    """A line of a receipt; money in pence, the discount of the whole line."""

    sku: str
    quantity: int
    price: int
    discount: int


class Receipt(NamedTuple):
    """What stands on a receipt."""

    type: str
    till: Till
    at_us: int
    shift: str
    payment: str
    member: str | None
    lines: Sequence[Line]
    voids: int | None = None
    """The number of the event that it takes back."""
