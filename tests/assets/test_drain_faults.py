"""A drain killed, paused or run beside others leaves tables as if nothing had happened."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import chaos
import progress
import pytest
from conftest import Home, Nursery, copy_of, start

from aquifer.maintenance import maintain_table
from assets import tables

KILLS = 40
SEED = 20261120
EVENTS = 1_280
MORE = 240
DEADLINE_SECONDS = 240


@pytest.fixture(scope="module")
def history() -> list[chaos.Produced]:
    return chaos.history(SEED, EVENTS)


@pytest.fixture(scope="module")
def more() -> list[chaos.Produced]:
    return chaos.history(SEED + 1, MORE)


@pytest.fixture(scope="module")
def undisturbed(nursery, homes, history) -> chaos.Undisturbed:
    home = homes("undisturbed")
    chaos.take_in(nursery, home, history)
    return chaos.Undisturbed(home)


@pytest.fixture(scope="module")
def copied(undisturbed, tmp_path_factory) -> Callable[[str], Home]:
    """Makes homes that are as the undisturbed one."""
    return partial(copy_of, undisturbed.home, tmp_path_factory)


@pytest.fixture(scope="module")
def with_more(nursery, copied, more) -> Home:
    """The undisturbed home after more events."""
    home = copied("with_more")
    chaos.take_in(nursery, home, more)
    return home


def test_a_drain_killed_at_40_points_leaves_what_an_undisturbed_one_does(
    nursery, homes, history, undisturbed, fault
):
    home = homes("killed")
    killings = chaos.Killings(nursery, home, undisturbed, history, SEED)
    killings.kill(KILLS)
    with fault("kill -9 of a drain, the last of 40"):
        killings.finish()
    assert home.differing(undisturbed.home, undisturbed.home.lake.names()) == []
    assert undisturbed.wrong(home) == []


def test_maintenance_beside_a_drain_changes_nothing(nursery, copied, more, with_more, fault):
    home = copied("maintained")
    maintained = 0
    with fault("OPTIMIZE and VACUUM of tables that a drain writes"), ThreadPoolExecutor(1) as pool:
        draining = pool.submit(nursery.drain, home, idle_seconds=1, commits_per_compaction=1)
        pieces = [more[n : n + chaos.A_PIECE] for n in range(0, len(more), chaos.A_PIECE)]
        while not draining.done():
            for name in (chaos.BRONZE, chaos.SILVER, chaos.QUARANTINE, chaos.GOLD):
                chaos.produce(home.folder / "events", pieces.pop(0) if pieces else [])
                sorted_by = tables.clustering().get(name, ()) if maintained % 2 else ()
                maintain_table(home.lake, name, sorted_by, 90, tables.readers().get(name, ()))
            maintained += 1
    assert draining.result() == 0
    for piece in pieces:
        chaos.produce(home.folder / "events", piece)
    assert nursery.drain(home) == 0
    assert maintained > 2
    assert home.differing(with_more, with_more.lake.names()) == []


def test_a_full_disk_is_said_in_one_line_and_costs_no_event(
    disk, nursery, copied, more, with_more, fault
):
    home = Home(disk.folder / "home")
    shutil.copytree(copied("tight").folder, home.folder)
    chaos.produce(home.folder / "events", more)
    begun = progress.count(home.folder, ["lake"])
    with fault("full disk under a drain"):
        process = start("drain", "--idle-seconds", "1", home=home.folder)
        while process.poll() is None:
            # Once it has written; and again, since what a step removes is room.
            if progress.count(home.folder, ["lake"]) > begun:
                disk.fill(process)
            time.sleep(0.01)
        said = "".join(process.communicate())
        disk.empty()
        assert process.returncode == 1
        assert "Traceback" not in said
        assert [line for line in said.splitlines() if "make room" in line], said
        assert home.differing(with_more, [chaos.GOLD]) == [chaos.GOLD]
        assert nursery.drain(home) == 0
    assert home.differing(with_more, with_more.lake.names()) == []


class Turns:
    """Drains of one home that take turns: a run of the job, and a child that is to follow it."""

    def __init__(self, home: Home, nursery: Nursery, pool: ThreadPoolExecutor) -> None:
        self._home = home
        self._lease = home.folder / "leases" / "drain.lock"
        self.run = start("drain", "--minutes", "0.01", home=home.folder)
        self.until(lambda: self.waiting("FLOCK") > 0)
        self._begun = self.commits()
        # It ends by itself, as soon as it has its turn and nothing waits.
        self.child = pool.submit(nursery.drain, home)
        self.until(lambda: self.waiting("->") > 0)

    def waiting(self, sign: str) -> int:
        """How many of the kernel's locks on the lease have a sign; the arrow is for who waits."""
        held = f":{self._lease.stat().st_ino} " if self._lease.exists() else "none"
        locks = Path("/proc/locks").read_text().splitlines()
        return sum(held in lock and sign in lock for lock in locks)

    def commits(self) -> int:
        return progress.count(self._home.folder, ["lake"])

    def writes(self) -> bool:
        """Whether the run has written since the child waits for it."""
        return self.commits() > self._begun

    def until(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not happened():
            assert self.run.poll() is None, self.run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.mark.parametrize("fate", ["paused", "killed"])
def test_a_drain_that_is_paused_or_killed_in_its_turn_writes_nothing_twice(
    nursery, copied, more, with_more, fault, fate
):
    home = copied(fate)
    half = len(more) // 2
    chaos.produce(home.folder / "events", more[:half])
    with fault(f"drain {fate} in its turn, another waiting"), ThreadPoolExecutor(1) as pool:
        turns = Turns(home, nursery, pool)
        turns.until(turns.writes)
        # Before it is stopped, which may be within a transaction of the log.
        chaos.produce(home.folder / "events", more[half:])
        os.kill(turns.run.pid, signal.SIGSTOP)
        # Its time is up, and more waits; but another's turn begins where its own ends.
        written = turns.commits()
        assert not turns.child.done()
        assert turns.waiting("->")
        os.kill(turns.run.pid, signal.SIGCONT if fate == "paused" else signal.SIGKILL)
        said = turns.run.communicate(timeout=DEADLINE_SECONDS)
        assert turns.run.returncode == (0 if fate == "paused" else -signal.SIGKILL), said
        assert turns.child.result() == 0
    assert turns.commits() > written
    assert home.differing(with_more, with_more.lake.names()) == []
