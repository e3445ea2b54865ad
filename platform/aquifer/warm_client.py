"""Asking the warm server: where it is, how, and what a run must have in common with it.

Belongs here: what both sides of the socket agree on. Does not: what the server does with it
(`warm_server`). A request is a line of JSON; so is its answer, `{}` or `{"refused": why}`.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aquifer.errors import AquiferError, SettingError
from aquifer.links import linked

LONGEST_ADDRESS = 100
"""Bytes of a socket's name that every system takes."""

PATIENCE_SECONDS = 60.0
"""How long a launch waits while the server loads the code."""


class WarmServerUnavailable(AquiferError):
    """The warm server did not take a run."""


def address(dagster_home: Path) -> str:
    """The server's socket in the Dagster home, by a name that is short enough for sockets.

    Raises:
        SettingError: there is none.
    """
    name = f"{dagster_home}/warm.sock"
    fits = len(os.fsencode(name)) <= LONGEST_ADDRESS
    return name if fits else f"{linked(str(dagster_home))}/warm.sock"


def listens(dagster_home: Path) -> bool:
    """Whether a server answers."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.connect(address(dagster_home))
        return True
    return False


def ask(dagster_home: Path, request: Mapping[str, Any]) -> None:
    """Have a run executed.

    Raises:
        WarmServerUnavailable: it will not be, as far as is known.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        try:
            client.connect(address(dagster_home))
            with client.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                answer = json.loads(stream.readline() or '{"refused": "it has died"}')
        except (OSError, SettingError) as error:
            raise WarmServerUnavailable(f"No warm server answers ({error})") from error
    if "refused" in answer:
        raise WarmServerUnavailable(f"The warm server refuses this run: {answer['refused']}")


def settings(python: str) -> dict[str, str]:
    """What code reads where it is loaded: a run that needs it otherwise is not for this server."""
    named = {name: value for name, value in os.environ.items() if name.startswith("AQUIFER_")}
    return {**named, "the Python environment": str(Path(python).parent)}


def differing(request: Mapping[str, str], python: str) -> list[str]:
    """The names of the settings of a request that are others than those of this process."""
    own = settings(python)
    return sorted(name for name in request.keys() | own if request.get(name) != own.get(name))
