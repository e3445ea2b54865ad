"""One writer at a time; the holder's death frees the lease."""

import os
import signal
import threading

from aquifer.lease import FileLeases


def test_a_second_holder_waits_for_the_first(tmp_path):
    leases = FileLeases(tmp_path)
    order = []

    def second() -> None:
        with leases.hold(["silver.orders"]):
            order.append("second")

    with leases.hold(["silver.orders"]):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]


def test_a_killed_holder_frees_its_leases(tmp_path):
    held, tell = os.pipe()
    child = os.fork()
    if not child:
        with FileLeases(tmp_path).hold(["a", "b"]):
            os.write(tell, b"!")
            signal.pause()
    os.read(held, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with FileLeases(tmp_path).hold(["b", "a"]):
        pass
