"""Sales regions: the region that each country belongs to now."""

from aquifer.contract import Contract, Field, Key, hours, table
from aquifer.silver import mirror
from assets.bronze.regions import regions as bronze_regions
from assets.silver.reserved import RESERVED


class Region(Contract):
    """One row a country."""

    country: str = Key(notin=RESERVED, description="country")
    region: str = Field(description="sales region")

    class Config:
        metadata = table(owner="team:sales", grain="a country", fresh_within=hours(26))


regions = mirror("regions", Region, reads=bronze_regions)
