"""Tier history: the tier of a member from an instant on, the source of the customer's tier."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver import silver
from assets.bronze.tier_history import tier_history as bronze_tier_history


class TierChange(Contract):
    """One row a tier change."""

    tier_change_id: str = Key(metadata=pii("customer"), description="key of the change")
    member_id: str = Field(metadata=pii("customer"), description="number in the rewards programme")
    tier: str = Field(
        isin=["bronze", "silver", "gold", "platinum"], description="loyalty tier from then on"
    )
    changed_at: Timestamp = Field(description="instant of the change, UTC")
    deleted_at: Timestamp | None = Field(description="instant from which the row counts as absent")

    class Config:
        metadata = table(owner="team:loyalty", grain="a tier change", fresh_within=hours(26))


@silver(TierChange, reads=bronze_tier_history)
def tier_history() -> str:
    return """
        select *,
            raw.tier_change_id as tier_change_id,
            raw.member_id as member_id,
            raw.tier as tier,
            raw.changed_at as changed_at,
            case when _op = 'd' then _changed_at end as deleted_at
        from new
    """
