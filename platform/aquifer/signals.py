"""Signals that ask a command to end."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def caught() -> list[int]:
    """The signals that ask this process to end: they are added as they come, and do no more."""
    # A list, since a second signal may arrive within the handler of the first: locks would wait for
    # themselves there.
    asked: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda number, _: asked.append(number))
    return asked
