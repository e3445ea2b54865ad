"""Entries of the points ledger, as extracted."""

from aquifer.bronze_extracts import ExtractTable
from aquifer.contract import Contract, Field, hours, pii, table


class PointsEntryExtracted(Contract):
    """One ledger entry, as extracted; a delete holds the key alone."""

    entry_id: str | None = Field(description="key")
    member_id: str | None = Field(description="member", metadata=pii("customer"))
    points: str | None = Field(description="points, signed")
    reason: str | None = Field(description="what they are for")
    earned_at: str | None = Field(description="instant of the entry")
    recorded_at: str | None = Field(description="when the database recorded the row; the watermark")

    class Config:
        metadata = table(
            owner="team:loyalty", grain="an extracted state of a row", fresh_within=hours(26)
        )


points_ledger = ExtractTable(
    "bronze.points_ledger",
    PointsEntryExtracted,
    resource="rewards",
    source="rewards_database",
    entity="points_ledger",
    key=("entry_id",),
    watermark="recorded_at",
    silver="silver.points_ledger",
)
