"""Faults of the machine: its clock is set, its disk is slow. Needs faketime and strace."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import chaos
import progress
import pytest
from conftest import PROJECT, Home

SEED = 20261120
EVENTS = 480
DEADLINE_SECONDS = 300
CLOCKS = ("+0h", "+7h", "-7h")
"""Where the clock stands in one run after the other."""
SLOW = "link,linkat,rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat"
DELAY_US = 20_000
"""How much longer each of these calls takes."""


@pytest.fixture(scope="module")
def events() -> list[chaos.Produced]:
    return chaos.history(SEED, EVENTS)


@pytest.fixture(scope="module")
def undisturbed(nursery, homes, events) -> Home:
    home = homes("undisturbed")
    chaos.take_in(nursery, home, events)
    return home


def drain(home: Home, *within: str, idle_seconds: float = 0) -> subprocess.Popen:
    """`aquifer drain` as the command that another one starts."""
    command = ["drain", "--idle-seconds", str(idle_seconds)]
    return subprocess.Popen(
        [*within, sys.executable, "-m", "aquifer.cli", *command],
        cwd=PROJECT,
        env={
            **os.environ,
            "AQUIFER_HOME": str(home.folder),
            # How long something takes is as it was.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_fine(done: subprocess.Popen) -> None:
    out, said = done.communicate(timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, said
    assert not out
    # No more than its progress.
    assert {line.split()[0] for line in said.splitlines()} <= {"drain", "downstream"}, said


def wait_for_commit(home: Home, draining: subprocess.Popen) -> None:
    """Wait until a drain has written more, in whichever table."""
    begun, deadline = progress.count(home.folder, ["lake"]), time.monotonic() + DEADLINE_SECONDS
    while progress.count(home.folder, ["lake"]) == begun:
        assert draining.poll() is None, draining.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def pieces(events: Sequence[chaos.Produced], count: int) -> list[Sequence[chaos.Produced]]:
    size = -(-len(events) // count)
    return [events[n : n + size] for n in range(0, len(events), size)]


def test_a_clock_that_is_set_hours_ahead_and_back_changes_no_table(
    homes, events, undisturbed, fault
):
    home = homes("set_clock")
    with fault("clock set 7 hours ahead, then 14 back"):
        for clock, piece in zip(CLOCKS, pieces(events, len(CLOCKS)), strict=True):
            chaos.produce(home.folder / "events", piece)
            assert_fine(drain(home, "faketime", "-f", clock))
    assert home.differing(undisturbed, undisturbed.lake.names()) == []


def test_a_slow_disk_costs_no_event(homes, events, undisturbed, fault):
    home = homes("slow")
    first, *others = pieces(events, 6)
    chaos.produce(home.folder / "events", first)
    slow = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={SLOW}"]
    inject = ["-e", f"inject={SLOW}:delay_enter={DELAY_US}"]
    with fault("disk that takes 20 ms longer to create, sync, rename and remove a file"):
        draining = drain(home, "strace", *slow, *inject, idle_seconds=3)
        for piece in others:
            wait_for_commit(home, draining)
            chaos.produce(home.folder / "events", piece)
        assert_fine(draining)
    assert home.differing(undisturbed, undisturbed.lake.names()) == []
