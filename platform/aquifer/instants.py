"""Instants as whole microseconds since 1970 in UTC: exact, as floats are not."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """The microseconds from 1970 to an instant."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(ts_us: int) -> datetime:
    """The instant so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=ts_us)


def parsed(text: str) -> datetime:
    """The instant that a text writes in ISO 8601; UTC unless it says."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
