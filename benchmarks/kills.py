"""kill -9 of a live drain at random points, each time gone on with, and what is left compared.

After each kill the tables may hold nothing but what an undisturbed drain would have left of the
events so far, and in the end everything that it has left of all.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from common import PROJECT, show

sys.path.insert(0, str(PROJECT / "tests"))

from chaos import A_PIECE, PIECES_A_KILL, Killings, Undisturbed, history, produce
from conftest import Home, nursing

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--kills", type=int, default=200)
parser.add_argument("--seed", type=int, default=1)
given = parser.parse_args()
with tempfile.TemporaryDirectory() as folder, nursing(Path(folder) / "nursery") as nursery:
    events = history(given.seed, given.kills * PIECES_A_KILL * A_PIECE)
    undisturbed = Undisturbed(Home(Path(folder) / "undisturbed"))
    produce(undisturbed.home.folder / "events", events)
    if nursery.drain(undisturbed.home):
        sys.exit("the undisturbed drain failed")
    home = Home(Path(folder) / "killed")
    killings = Killings(nursery, home, undisturbed, events, given.seed)
    begun = time.monotonic()
    killings.kill(given.kills)
    killings.finish()
    seconds = time.monotonic() - begun
    differing = home.differing(undisturbed.home, home.lake.names())
    show(
        f"{killings.kills} kills of a drain of {len(events):,} events, {seconds:,.0f} seconds",
        ["what they left", "times"],
        sorted(killings.wreck.states.items()),
    )
    if differing:
        sys.exit(f"tables that differ from those of an undisturbed run: {', '.join(differing)}")
    print("all tables are those of an undisturbed run")
