"""Minutes in which a store sells far more, or far less, than in the hour before."""

from aquifer.contract import Contract, Field, Key, Money, Timestamp, hours, table
from aquifer.stream_anomalies import anomalies
from assets.stream.sales_per_minute import sales_per_minute


class SalesAnomaly(Contract):
    """One minute of a store whose net is far from the median of the hour before."""

    window_start: Timestamp = Key(description="beginning of the minute, UTC")
    store_id: str = Key(description="store of the tills")
    window_end: Timestamp = Field(description="end of the minute, UTC")
    observed: Money = Field(description="net of the minute, GBP")
    expected: float = Field(description="median net of the minutes with sales in the hour before")
    spread: float = Field(gt=0, description="standard deviation of those minutes, robust, GBP")
    score: float = Field(description="observed less expected, in standard deviations")
    side: str = Field(isin=["above", "below"], description="above or below what was expected")
    history: int = Field(ge=20, description="minutes that it was compared with")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a minute of a store",
            fresh_within=hours(26),
            partition_by="window_start",
        )


sales_anomalies = anomalies(
    "sales_anomalies",
    SalesAnomaly,
    reads=sales_per_minute,
    value="net_amount",
    by=["store_id"],
    over=hours(1),
)
