"""Repair: a table whose data files are gone makes the rows again that were in them.

Belongs here: what the table has to forget, so that its next advance or build does so. Does not: how
a missing file is told (`missing_files`), torn logs, which need nobody (`torn_commits`).
"""

from collections.abc import Sequence

from aquifer.errors import SettingError
from aquifer.gold import Gold
from aquifer.lake import Lake
from aquifer.quarantine import quarantine_name
from aquifer.silver_table import SilverTable


def repair(lake: Lake, name: str, silver: Sequence[SilverTable], gold: Gold) -> list[str]:
    """Let a table go on without the files that it lacks; which they are.

    Raises:
        SettingError: the table is not made from others.
    """
    by_name = {table.name: table for table in silver}
    quarantines = {quarantine_name(table.name): table for table in silver}
    if name not in by_name.keys() | quarantines.keys() | gold.contracts.keys():
        raise SettingError(
            f"{name} cannot be made again from other tables; restore its files from a backup"
        )
    with lake.lease([name]):
        missing = lake.drop_missing(name)
        if missing and name in by_name:
            by_name[name].forget(lake)
        elif missing and name in quarantines:
            lake.forget(name, [quarantines[name].reads.name])
        elif missing and name in gold.contracts:
            gold.forget(lake, name)
    return missing
