"""Points ledger: points earned and reversed."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import mirror
from assets.bronze.points_ledger import points_ledger as bronze_points_ledger


class PointsEntry(Contract):
    """One row an entry."""

    entry_id: str = Key()
    member_id: str = Field(metadata=pii("customer"))
    points: int
    reason: str
    earned_at: Timestamp

    class Config:
        metadata = table(owner="team:loyalty", grain="an entry", fresh_within=hours(26))


points_ledger = mirror("points_ledger", PointsEntry, reads=bronze_points_ledger)
