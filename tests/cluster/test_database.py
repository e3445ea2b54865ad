"""PostgreSQL as the platform's database: leases of several machines, and Dagster's storage."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from aquifer.errors import PassingError
from aquifer.lease import LeaseTaken
from resources.database import PostgresLeases, connect

HOLDER = """
import sys
from resources.database import PostgresLeases
with PostgresLeases(sys.argv[1]).hold(["silver.orders"]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(database):
    """A process that holds a lease."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lease_is_held_by_one_process_at_a_time_and_others_stay_free(database, holder):
    leases = PostgresLeases(database)
    with pytest.raises(LeaseTaken, match=r"another process holds silver.orders"):
        leases.hold(["silver.orders"], wait=False).__enter__()
    with leases.hold(["silver.customers"], wait=False):
        pass


def test_who_waits_for_a_lease_has_it_when_its_holder_lets_go(database, holder, caplog):
    def take() -> str:
        with PostgresLeases(database).hold(["silver.orders"]):
            return "taken"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take)
        while "waiting for it to finish" not in caplog.text:
            assert not waiting.done()
        holder.stdin.close()
        assert waiting.result(10) == "taken"


def test_a_killed_holder_keeps_no_lease(database, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with PostgresLeases(database).hold(["silver.orders"]):
        pass


def test_a_server_that_ends_while_a_lease_is_waited_for_is_one_line(database, holder):
    ended = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'advisory'"

    def take() -> None:
        with PostgresLeases(database).hold(["silver.orders"]):
            pass

    with closing(connect(database)) as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take)
        with server.cursor() as cursor:
            while cursor.rowcount < 1:
                cursor.execute(ended)
        with pytest.raises(PassingError, match=r"cannot reach PostgreSQL: \w+"):
            waiting.result()


def test_a_database_that_does_not_answer_is_one_line():
    with (
        pytest.raises(PassingError, match=r"cannot reach PostgreSQL: .*refused"),
        PostgresLeases("postgresql://127.0.0.1:1/x").hold(["silver.orders"]),
    ):
        pass
