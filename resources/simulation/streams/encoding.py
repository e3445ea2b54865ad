"""How values are written in an event: ids, instants, money. Fast, as each event has several."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def instant_text(at_us: int) -> str:
    """ISO-8601 in UTC, with microseconds and Z."""
    seconds, fraction = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{fraction:06d}Z"


def money_text(pennies: int) -> str:
    """Pounds, with two places; not below 0."""
    return f"{pennies // 100}.{pennies % 100:02d}"


def uuid7(at_us: int, counter: int, chance: int) -> str:
    """A UUID of version 7: milliseconds of an instant, 12 bits of a counter, 62 of chance."""
    digits = f"{at_us // 1000:012x}7{counter & 0xFFF:03x}{chance & (1 << 62) - 1 | 1 << 63:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def happened_us(due_us: int, number: int) -> int:
    """When an event happened that is due to be sent: mostly within the last second.

    Three in a thousand come minutes late. So neighbours of a topic are often out of order.

    Args:
        due_us: when it is sent, in microseconds since 1970.
        number: 32 bits of chance.
    """
    small = number & 0x3FF
    delay_us = 20_000 + small * small * 7 // 10
    if number >> 12 < _LATE:
        delay_us += 60_000_000 + (number & 0xFFF) * 131_072
    return due_us - delay_us


_LATE = round(0.003 * (1 << 20))
