"""Torn commits: what a power failure leaves of a Delta log on a disk, as nobody syncs its files.

Belongs here: finding them and going on. Does not: what is taken in again, and by whom (each table).

A torn commit is empty or cut off. Delta readers take an empty one for a commit without content, and
what stood in it is lost without a word; of one that is cut off nobody can read the table. The table
goes back to the commit before the first torn one, as if the power had failed then: what was lost is
taken in again, because the marks of how far each source was read are lost with it.

The numbers of the lost commits are not given again. Who is downstream may have taken in rows with
such a `_seq`, and would pass over others.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

TORN = "_torn"
"""The application transaction of the last version at which commits were lost."""


def mend(log: Path) -> range:
    """Empty the commits of a log from the first torn one on; the versions that were lost.

    Call it under the table's lease.
    """
    versions = [*_versions(log)]
    torn = next((version for version in versions if not _whole(_commit(log, version))), None)
    if torn is None:
        return range(0)
    lost = range(torn, versions[-1] + 1)
    if torn == 0:
        # Without its first commit it is no table, and is created anew.
        for version in reversed(lost):
            _commit(log, version).unlink()
        return lost
    # The first torn one last: killed before, the next holder of the lease begins again. One more is
    # added, for handles that were opened at the last.
    for version in range(lost.stop, torn - 1, -1):
        _empty(log, version)
    return lost


def _versions(log: Path) -> Iterator[int]:
    """The versions after the last checkpoint, which has the state of all before."""
    try:
        version = int(json.loads((log / "_last_checkpoint").read_bytes())["version"]) + 1
    except (OSError, ValueError):
        version = 0
    while _commit(log, version).exists():
        yield version
        version += 1


def _commit(log: Path, version: int) -> Path:
    return log / f"{version:020}.json"


def _whole(commit: Path) -> bool:
    try:
        json.loads(commit.read_bytes().splitlines()[-1])
    except (IndexError, ValueError):
        return False
    return True


def _empty(log: Path, version: int) -> None:
    """Let a commit say nothing but that content was lost."""
    actions = [
        {"commitInfo": {"operation": "LOST", "timestamp": 0}},
        {"txn": {"appId": TORN, "version": version}},
    ]
    # The sums of the lost state, which some engines write beside.
    (log / f"{version:020}.crc").unlink(missing_ok=True)
    written = log / f"{version:020}.mended"
    with written.open("w") as file:
        file.write("\n".join(map(json.dumps, actions)))
        file.flush()
        os.fsync(file.fileno())
    written.replace(_commit(log, version))
