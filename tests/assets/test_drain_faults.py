"""A drain killed, paused or run beside others leaves tables as if nothing had happened."""

import chaos
import pytest

KILLS = 40
SEED = 20261120
EVENTS = 1_280


@pytest.fixture(scope="module")
def history() -> list[chaos.Produced]:
    return chaos.history(SEED, EVENTS)


@pytest.fixture(scope="module")
def undisturbed(nursery, homes, history) -> chaos.Undisturbed:
    home = homes("undisturbed")
    chaos.produce(home.folder / "events", history)
    assert nursery.drain(home) == 0
    return chaos.Undisturbed(home)


def test_a_drain_killed_at_40_points_leaves_what_an_undisturbed_one_does(
    nursery, homes, history, undisturbed
):
    home = homes("killed")
    killings = chaos.Killings(nursery, home, undisturbed, history, SEED)
    killings.kill(KILLS)
    killings.finish()
    assert home.differing(undisturbed.home, home.lake.names()) == []
    assert undisturbed.wrong(home) == []
