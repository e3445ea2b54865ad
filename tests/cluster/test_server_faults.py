"""The platform outlives the death of each of its processes and servers, and loses nothing.

A server that dies is started again, as a service manager does; all else is the platform's own.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

import chaos
import pytest
from conftest import Home
from kafka_broker import Broker
from ups import commands, free_port, kill_all, until, up

from aquifer.errors import AquiferError
from aquifer.run_process import RunProcess
from deploy.servers import Postgres, Server

CUT_SECONDS = 60

PROCESSES = {
    "the daemon": "dagster._daemon",
    "the webserver": "dagster_webserver",
    "the code server": "dagster api grpc",
    "the warm server": "aquifer.warm_preload",
}
"""What is to be found in the command lines of the platform's processes."""

TABLES = [chaos.BRONZE, chaos.SILVER, chaos.QUARANTINE, chaos.GOLD, "silver.iot_readings"]


@dataclass
class Platform:
    """`aquifer up` on a broker behind a network and on PostgreSQL, with simulated events."""

    home: Home
    broker: Broker
    postgres: Postgres

    def kill(self, name: str) -> None:
        """Kill all processes that are called so, and wait for their successors."""
        sign = PROCESSES[name]
        found = until(lambda: self._called(sign))
        for process in found:
            os.kill(process, signal.SIGKILL)
        until(lambda: self._called(sign) - found)

    def _called(self, sign: str) -> set[int]:
        return {process for process, line in commands(self.home.folder) if sign in line}

    def kill_a_run(self) -> None:
        """Kill a run that is at work."""
        runs = self.home.folder / "dagster" / "storage"
        alive = until(lambda: [pid for f in runs.iterdir() if (pid := RunProcess(f).pid)])
        os.kill(alive[0], signal.SIGKILL)

    def sold(self) -> int:
        """How many lines of sales are in gold."""
        with suppress(AquiferError):
            ((lines,),) = (row.values() for row in self.home.rows(SOLD))
            return lines
        return 0

    def recover(self) -> None:
        """Wait for more sales in gold than can have been on their way."""
        begun = self.sold()
        until(lambda: self.sold() > begun + ON_THEIR_WAY)


SOLD = "select count(*) from gold.fct_sales where channel = 'store'"

ON_THEIR_WAY = 200
"""Lines of sales, about ten seconds of them."""


@pytest.fixture(scope="module")
def platform(homes, tmp_path_factory) -> Iterator[Platform]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    postgres = Postgres(tmp_path_factory.mktemp("postgres"))
    broker.start()
    postgres.start()
    home = homes("platform")
    settings = {
        "AQUIFER_EVENT_LOG": broker.far,
        "AQUIFER_DATABASE": postgres.create("dagster"),
    }
    platform = Platform(home, broker, postgres)
    with up(home.folder, free_port(), **settings):
        platform.recover()
        yield platform
    broker.stop()
    postgres.stop()


def die(server: Server) -> None:
    server.signal(signal.SIGKILL)
    server.wait()
    server.start()


def be_cut_off(platform: Platform) -> None:
    platform.broker.network.cut()
    Event().wait(CUT_SECONDS)
    platform.broker.network.mend()


FAULTS: dict[str, Callable[[Platform], None]] = {
    "kill -9 of a run that drains": Platform.kill_a_run,
    **{f"kill -9 of {name}": lambda p, name=name: p.kill(name) for name in PROCESSES},
    "kill -9 of the broker": lambda platform: die(platform.broker),
    "kill -9 of PostgreSQL": lambda platform: die(platform.postgres),
    f"the network to the broker cut for {CUT_SECONDS} s": be_cut_off,
}


@pytest.mark.parametrize("name", FAULTS)
def test_events_come_to_gold_again_without_hands(platform, fault, name):
    with fault(f"{name}, `aquifer up` at work, until ten seconds of sales are in gold"):
        FAULTS[name](platform)
        platform.recover()


def test_after_all_of_it_the_tables_are_those_of_an_undisturbed_home(platform, nursery, homes):
    """Which reads the same events, of the same broker."""
    log = {"AQUIFER_EVENT_LOG": platform.broker.url}
    kill_all(platform.home.folder)
    assert nursery.drain(platform.home, **log) == 0
    undisturbed = homes("undisturbed")
    assert nursery.drain(undisturbed, **log) == 0
    assert len(undisturbed.content(chaos.SILVER)) > 100
    assert platform.home.differing(undisturbed, TABLES) == []


def test_a_drain_of_kafka_killed_at_20_points_leaves_what_the_embedded_log_does(
    kafka, nursery, homes, fault
):
    """Among them: bronze committed, and the offset in Kafka not yet."""
    events = chaos.history(20261122, 640)
    undisturbed = chaos.Undisturbed(homes("embedded"))
    chaos.take_in(nursery, undisturbed.home, events)
    home = homes("killed")
    killings = chaos.Killings(nursery, home, undisturbed, events, 20261122, kafka.url)
    with fault("kill -9 of a drain of Kafka, at 20 points, of each pair of commits one"):
        killings.kill(20)
        killings.finish()
    assert home.differing(undisturbed.home, undisturbed.home.lake.names()) == []
