"""Exchange rates: units of a currency for one GBP, on the days that have one."""

from aquifer.contract import Contract, Date, Field, Key, Money, hours, table
from aquifer.silver import silver
from assets.bronze.exchange_rates import exchange_rates as bronze_exchange_rates


class ExchangeRate(Contract):
    """One row a day and currency."""

    rated_on: Date = Key(description="day of the rate")
    currency: str = Key(str_matches=r"^[A-Z]{3}$", description="ISO 4217 code")
    rate: Money = Field(gt=0, description="units of the currency for one GBP")

    class Config:
        metadata = table(
            owner="team:finance",
            grain="a currency on a day",
            fresh_within=hours(80),
        )


@silver(ExchangeRate, reads=bronze_exchange_rates)
def exchange_rates() -> str:
    return """
        select *,
            raw.date as rated_on,
            raw.currency as currency,
            raw.rate as rate
        from new
    """
