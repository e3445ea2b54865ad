"""Tier changes of the rewards programme, as extracted."""

from aquifer.bronze_extracts import ExtractTable
from aquifer.contract import Contract, Field, hours, pii, table


class TierChangeExtracted(Contract):
    """One tier change, as extracted; a delete holds the key alone."""

    tier_change_id: str | None = Field(description="key", metadata=pii("customer"))
    member_id: str | None = Field(description="member", metadata=pii("customer"))
    tier: str | None = Field(description="tier from then on")
    changed_at: str | None = Field(description="instant of the change")
    recorded_at: str | None = Field(description="when the database recorded the row; the watermark")

    class Config:
        metadata = table(
            owner="team:loyalty", grain="an extracted state of a row", fresh_within=hours(26)
        )


tier_history = ExtractTable(
    "bronze.tier_history",
    TierChangeExtracted,
    resource="rewards",
    source="rewards_database",
    entity="tier_history",
    key=("tier_change_id",),
    watermark="recorded_at",
    silver="silver.tier_history",
)
