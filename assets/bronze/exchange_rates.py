"""Daily exchange rates, as the rates service publishes them."""

from aquifer.bronze_extracts import ExtractTable
from aquifer.contract import Contract, Field, days, hours, table


class ExchangeRateExtracted(Contract):
    """One published rate."""

    date: str | None = Field(description="day of the rate")
    currency: str | None = Field(description="ISO code")
    rate: str | None = Field(description="units of the currency for one GBP")

    class Config:
        metadata = table(
            owner="team:finance", grain="an extracted state of a row", fresh_within=hours(26)
        )


exchange_rates = ExtractTable(
    "bronze.exchange_rates",
    ExchangeRateExtracted,
    resource="rates",
    source="rates_service",
    entity="exchange_rates",
    key=("date", "currency"),
    watermark="date",
    overlap=days(7),
)
