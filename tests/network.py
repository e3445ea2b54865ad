"""A network between clients and a server of this machine, which can be cut."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

CHUNK_BYTES = 65_536


class Network:
    """Passes bytes from `port` on to another port and back; cut, it passes none and says nothing.

    Args:
        to: the server's port.
        look: is shown what is passed, before it is.
    """

    def __init__(self, to: int, look: Callable[[bytes], None] = lambda chunk: None) -> None:
        self._to = to
        self._look = look
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through, in either direction."""
        self._open.clear()

    def mend(self) -> None:
        """Let new connections through; those of before the cut are reset."""
        lost, self._sockets = self._sockets, []
        self._open.set()
        for each in lost:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._sockets.append(client)
        self._open.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._to))
        except ConnectionError:
            client.close()
            return
        self._sockets.append(server)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pass, args=[source, target], daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK_BYTES):
                self._open.wait()
                self._look(chunk)
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
