"""Sales by minute, channel and store: what `serving.sales_by_minute` has of the past."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table


class SalesByMinute(Contract):
    """One minute of a channel and store."""

    minute: Timestamp = Key(description="beginning of the minute, UTC")
    channel: str = Key(isin=["online", "store"], description="online or store")
    store_id: str = Key(description="store number; `unknown` for online sales and unknown stores")
    sales: int = Field(ge=0, description="invoices, or tills' events, with a sale")
    lines: int = Field(ge=1, description="sale and return lines")
    units: int = Field(description="pieces sold less pieces brought back")
    revenue: Money = Field(description="net of sale and return lines, GBP")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a minute of a channel and store",
            fresh_within=hours(26),
            partition_by="minute",
        )
