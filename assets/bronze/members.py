"""Members of the rewards programme, as extracted."""

from aquifer.bronze_extracts import ExtractTable
from aquifer.contract import Contract, Field, hours, pii, table


class MemberExtracted(Contract):
    """One state of a member, as extracted; a delete holds the key alone."""

    member_id: str | None = Field(description="key", metadata=pii("customer"))
    customer_id: str | None = Field(description="customer number", metadata=pii("customer"))
    status: str | None = Field(description="active or closed")
    joined_on: str | None = Field(description="day of joining")
    recorded_at: str | None = Field(description="when the database recorded the row; the watermark")

    class Config:
        metadata = table(
            owner="team:loyalty", grain="an extracted state of a row", fresh_within=hours(26)
        )


members = ExtractTable(
    "bronze.members",
    MemberExtracted,
    resource="rewards",
    source="rewards_database",
    entity="members",
    key=("member_id",),
    watermark="recorded_at",
    silver="silver.members",
)
