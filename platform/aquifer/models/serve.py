"""The process of the model service: its port, its threads, and its end.

Belongs here: what is around the app. Does not: the app (`service`).
"""

import logging
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn

from aquifer.errors import SettingError

if TYPE_CHECKING:
    from aquifer.models.service import Service

MOST_CONNECTIONS = 1_000
IDLE_SECONDS = 60
END_SECONDS = 10
"""How long what is asked when the end comes may take."""


def bound(host: str, port: int) -> socket.socket:
    """A socket on a port.

    Raises:
        SettingError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except (OSError, OverflowError) as error:
        held.close()
        raise SettingError(
            f"port {port} of {host} cannot be had ({error}); choose another with --port"
        ) from error
    return held


def serve(service: "Service", held: socket.socket, asked: Sequence[int]) -> None:
    """Serve until a signal.

    Args:
        asked: the signals that have come, which ask this process to end.
    """
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("aquifer.models")
    logger.addHandler(shown)
    logger.setLevel(logging.INFO)
    config = uvicorn.Config(
        service.app(),
        # uvloop takes one new connection a round: under load they would wait for seconds, those
        # of who asks for the health among them.
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
    )
    if not asked:
        # It hands the signals on to who caught them before.
        uvicorn.Server(config).run(sockets=[held])
