"""Runs a server until its standard input ends, which it does when whoever started it is dead.

So that no server outlives its tests, however they end. Prints the server's process id.
"""

import os
import signal
import subprocess
import sys
import threading


def end_with_input(server: subprocess.Popen) -> None:
    sys.stdin.read()
    # A stopped process would not hear of anything milder.
    os.kill(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    # Ctrl-C reaches the whole group: the tests end first, and the server with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    print(child.pid, flush=True)
    threading.Thread(target=end_with_input, args=[child], daemon=True).start()
    sys.exit(child.wait())
