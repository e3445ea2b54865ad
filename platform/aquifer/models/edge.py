"""Scoring on the edge: a model without the platform, and without a network.

It needs Python, numpy and onnxruntime, and the files beside it, which `aquifer model export` wrote:

    python edge.py readings.jsonl
    tail -f readings.jsonl | python edge.py --spool predictions.db --forward http://host:8000

A line is a JSON object with the model's inputs as `features` and, if one likes, an `entity`; for
each, a line with its prediction is written, or with the `error` in it, and then the exit code is 1.

With a spool, predictions are on its disk before they are written, and leave it when the model
service has them for good: at least once, and once in the end, as each has an id.
"""

import argparse
import hashlib
import http.client
import json
import sqlite3
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from prediction import EDGE, answer, event  # type: ignore[import-not-found]  # noqa: E402
from scorer import BundleError, InputError, NotFinite, Scorer  # type: ignore[import-not-found]  # noqa: E402

ROWS_AT_ONCE = 256
"""Of a file; a stream is answered line by line."""

FORWARD_ROWS = 500
FORWARD_SECONDS = 5.0
PATIENCE_SECONDS = 15.0


class Spool:
    """Predictions that have yet to be forwarded, on disk.

    Args:
        path: of the database; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_SECONDS)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.execute(
            "create table if not exists waiting (place integer primary key, event blob not null)"
        )

    def add(self, events: Iterable[bytes]) -> None:
        """Keep events; on return they are on the disk."""
        self._connection.execute("begin immediate")
        self._connection.executemany(
            "insert into waiting (event) values (?)", ((each,) for each in events)
        )
        self._connection.execute("commit")

    def oldest(self) -> list[tuple[int, bytes]]:
        """The oldest events, with their places."""
        return self._connection.execute(
            "select place, event from waiting order by place limit ?", (FORWARD_ROWS,)
        ).fetchall()

    def forget(self, places: Iterable[int]) -> None:
        """Let events go that have arrived."""
        self._connection.executemany(
            "delete from waiting where place = ?", ((each,) for each in places)
        )

    def count(self) -> int:
        """How many events wait."""
        (count,) = self._connection.execute("select count(*) from waiting").fetchone()
        return int(count)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def forward(spool: Spool, service: str) -> str | None:
    """Send what waits; why not all of it has arrived, if so.

    Args:
        service: URL of the model service.
    """
    while held := spool.oldest():
        body = b"[" + b",".join(each for _, each in held) + b"]"
        request = urllib.request.Request(
            f"{service.rstrip('/')}/predictions", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):
                spool.forget(place for place, _ in held)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return str(error)
    return None


def keep_forwarding(path: Path, service: str, ended: threading.Event) -> None:
    """Send what waits, now and then, until the end."""
    with closing(Spool(path)) as spool:
        while not ended.wait(FORWARD_SECONDS):
            forward(spool, service)


def verify(folder: Path) -> None:
    """Compare the files of a bundle with their checksums.

    Raises:
        BundleError: one is missing, or not as it was written.
    """
    try:
        for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
            wanted, name = line.split()
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
                raise BundleError(f"{name} is damaged; export the bundle again")
    except (OSError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{folder} is no whole bundle: {error}; export it again") from error


def predict(scorer: Scorer, line: str) -> tuple[dict[str, Any], bytes | None]:
    """The answer to a line, and its event; without one when the line cannot be taken."""
    try:
        asked = json.loads(line)
        features = asked["features"]
        inputs = {each.name: features.get(each.name) for each in scorer.inputs}
        unknown = features.keys() - inputs.keys()
        if unknown:
            raise InputError(min(unknown), "there is no such input")
        (outputs,) = scorer.score([inputs])
    except InputError as error:
        return {"error": str(error), "field": error.field}, None
    except NotFinite as error:
        return {"error": str(error)}, None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"error": 'write a JSON object on each line: {"features": {"<input>": ...}}'}, None
    answered = answer(scorer.name, scorer.version, asked.get("entity"), None, outputs)
    return answered, event(answered, inputs, EDGE)


def parts(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lines that are no blanks, some at a time."""
    left = (line for line in lines if line.strip())
    while part := list(islice(left, size)):
        yield part


def run(scorer: Scorer, lines: Iterable[str], size: int, spool: Spool | None) -> bool:
    """Answer lines; whether all could be taken."""
    whole = True
    for part in parts(lines, size):
        found = [predict(scorer, line) for line in part]
        events = [each for _, each in found if each is not None]
        whole &= len(events) == len(found)
        if spool and events:
            spool.add(events)
        for answered, _ in found:
            print(json.dumps(answered, separators=(",", ":")))
        sys.stdout.flush()
    return whole


def arguments() -> argparse.Namespace:
    """What was asked for."""
    described = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=described[0],
        epilog=described[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="?", default="-", help="JSON lines; by default, the input")
    parser.add_argument("--spool", type=Path, help="database of predictions to be forwarded")
    parser.add_argument("--forward", metavar="URL", help="the model service; takes --spool")
    asked = parser.parse_args()
    if asked.forward and not asked.spool:
        parser.error("--forward takes --spool, where predictions wait for the service")
    return asked


def main() -> int:
    """Score; the exit code: 0 fine, 1 a line could not be taken, 2 nothing can be done."""
    asked = arguments()
    try:
        verify(HERE)
        scorer = Scorer.load(HERE)
        spool = Spool(asked.spool) if asked.spool else None
        lines = sys.stdin if asked.file == "-" else open(asked.file, encoding="utf-8")  # noqa: SIM115
    except (BundleError, OSError, sqlite3.Error) as error:
        print(f"edge: {error}", file=sys.stderr)
        return 2
    ended = threading.Event()
    sending = (asked.spool, asked.forward, ended)
    sender = threading.Thread(target=keep_forwarding, args=sending, daemon=True)
    if asked.forward:
        sender.start()
    try:
        whole = run(scorer, lines, 1 if lines is sys.stdin else ROWS_AT_ONCE, spool)
    except KeyboardInterrupt:
        whole = True
    ended.set()
    if asked.forward:
        # Who closes the spool last brings all of it into the one file.
        sender.join()
    if spool:
        why = forward(spool, asked.forward) if asked.forward else None
        if count := spool.count():
            reason = f", as {asked.forward} does not take them: {why}" if why else ""
            print(f"edge: {count} predictions wait in {asked.spool}{reason}", file=sys.stderr)
        spool.close()
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
