"""Faults that tests inject, and the report of them: what was injected, lost, and how long it took.

A test of a fault names it and spans its recovery:

    with fault("kill -9 of the broker"):
        broker.signal(SIGKILL)
        ...  # until all is well again

What it asserts afterwards is that nothing was lost. `pytest --reliability FILE` writes the table.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

FAULT = "fault"
OPTION = "--reliability"
ONLY_FAULTS = "--only-faults"

HEAD = """# Reliability

Each row is a test that injects a fault, waits until the platform is well again, and then compares
the tables with those of an undisturbed run. It needs no hands, but for a data file that is missing,
which a command repairs. `make reliability` runs the tests and writes this table; seconds are those
from the fault until all is well, on 2 cores that other work shares.

| injected | lost | recovered after | test |
|---|---|---:|---|
"""

Fault = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def fault(record_property: Callable[[str, object], None]) -> Fault:
    """Spans a fault and the recovery from it."""

    @contextmanager
    def injected(what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        record_property(FAULT, [what, time.monotonic() - begun])

    return injected


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path, help="Write the table of faults to this file.")
    parser.addoption(ONLY_FAULTS, action="store_true", help="Run the tests that inject a fault.")


def only_faults(items: list[pytest.Item], config: pytest.Config) -> list[pytest.Item]:
    """Of the tests, those that inject a fault, if only they are asked for; else all."""
    if not config.getoption(ONLY_FAULTS):
        return items
    return [item for item in items if FAULT in getattr(item, "fixturenames", ())]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    file: Path | None = config.getoption(OPTION)
    # A worker of xdist knows its own tests alone.
    if file is None or hasattr(config, "workerinput"):
        return
    rows = [
        f"| {what} | {'nothing' if outcome == 'passed' else 'the test failed'} | {seconds:.1f} s "
        f"| `{report.nodeid}` |\n"
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == FAULT
        for what, seconds in [value]
    ]
    file.write_text(HEAD + "".join(sorted(rows)), encoding="utf-8")
