"""Store changes: every state that a store has had, the source of `dim_store`."""

from aquifer.contract import Contract, Date, Field, Key, Timestamp, hours, table
from aquifer.merge import History
from aquifer.silver import silver
from assets.bronze.stores import stores as bronze_stores
from assets.silver.reserved import RESERVED


class StoreChange(Contract):
    """One row a store and instant of change; of several at one instant, the last."""

    store_id: str = Key(notin=RESERVED, description="store number")
    changed_at: Timestamp = Key(description="instant of the change, UTC")
    name: str | None = Field(description="name of the store")
    city: str | None = Field(description="city")
    country: str | None = Field(description="country")
    opened_on: Date | None = Field(description="day of opening")
    is_deleted: bool = Field(description="whether the source deleted the row at that instant")

    class Config:
        metadata = table(
            owner="team:stores", grain="a store at an instant of change", fresh_within=hours(26)
        )


@silver(StoreChange, reads=bronze_stores, policy=History())
def store_changes() -> str:
    return """
        select *,
            raw.store_id as store_id,
            raw.name as name,
            raw.city as city,
            raw.country as country,
            raw.opened_on as opened_on,
            _valid_from as changed_at,
            _op = 'd' as is_deleted
        from new
    """
