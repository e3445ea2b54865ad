"""Points ledger: points earned and reversed."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import mirror
from assets.bronze.points_ledger import points_ledger as bronze_points_ledger


class PointsEntry(Contract):
    """One row an entry."""

    entry_id: str = Key(description="key of the entry")
    member_id: str = Field(metadata=pii("customer"), description="number in the rewards programme")
    points: int = Field(description="points; negative when they are reversed or spent")
    reason: str = Field(description="what the points are for")
    earned_at: Timestamp = Field(description="instant of the entry, UTC")

    class Config:
        metadata = table(owner="team:loyalty", grain="an entry", fresh_within=hours(26))


points_ledger = mirror("points_ledger", PointsEntry, reads=bronze_points_ledger)
