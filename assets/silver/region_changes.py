"""Region changes: every region that a country has belonged to, the source of `dim_geography`."""

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table
from aquifer.merge import History
from aquifer.silver import silver
from assets.bronze.regions import regions as bronze_regions
from assets.silver.reserved import RESERVED


class RegionChange(Contract):
    """One row a country and instant of change; of several at one instant, the last."""

    country: str = Key(notin=RESERVED, description="country")
    changed_at: Timestamp = Key(description="instant of the change, UTC")
    region: str | None = Field(description="sales region from then on")
    is_deleted: bool = Field(description="whether the source deleted the row at that instant")

    class Config:
        metadata = table(
            owner="team:sales", grain="a country at an instant of change", fresh_within=hours(26)
        )


@silver(RegionChange, reads=bronze_regions, policy=History())
def region_changes() -> str:
    return """
        select *,
            raw.country as country,
            raw.region as region,
            _valid_from as changed_at,
            _op = 'd' as is_deleted
        from new
    """
