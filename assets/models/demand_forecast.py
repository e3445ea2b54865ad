"""Demand forecast: how many units of a product will be sold in each of the next four weeks."""

from aquifer.contract import Contract, Field, Key, days, table
from aquifer.models.forecaster import Forecaster
from aquifer.models.model import Limits, Prediction, Split
from assets.features.product_demand import (
    HOLIDAYS_AHEAD,
    LEAST_WEEKS,
    UNITS,
    WEEKS,
    WEEKS_AHEAD,
    product_demand,
)


class DemandForecast(Prediction, Contract):
    """Quantiles of the units of a product that will be sold in each of the next four weeks."""

    stock_code: str = Key(description="stock code, trimmed and in upper case")
    units_1w_p10: float = Field(ge=0, description="10 % quantile of the units in 7 days to come")
    units_1w_p50: float = Field(ge=0, description="median of the units in the 7 days to come")
    units_1w_p90: float = Field(ge=0, description="90 % quantile of the units in 7 days to come")
    units_2w_p10: float = Field(ge=0, description="10 % quantile of the 2nd week's units")
    units_2w_p50: float = Field(ge=0, description="median of the 2nd week's units")
    units_2w_p90: float = Field(ge=0, description="90 % quantile of the 2nd week's units")
    units_3w_p10: float = Field(ge=0, description="10 % quantile of the 3rd week's units")
    units_3w_p50: float = Field(ge=0, description="median of the 3rd week's units")
    units_3w_p90: float = Field(ge=0, description="90 % quantile of the 3rd week's units")
    units_4w_p10: float = Field(ge=0, description="10 % quantile of the 4th week's units")
    units_4w_p50: float = Field(ge=0, description="median of the 4th week's units")
    units_4w_p90: float = Field(ge=0, description="90 % quantile of the 4th week's units")

    class Config:
        metadata = table(
            owner="team:ml",
            grain="a product",
            fresh_within=days(2),
            rules={
                f"quantiles_of_week_{week}_in_order": (
                    f"units_{week}w_p10 <= units_{week}w_p50 and"
                    f" units_{week}w_p50 <= units_{week}w_p90"
                )
                for week in range(1, 5)
            },
        )


EXAMPLES = f"""
    with sales as (
        select
            stock_code,
            cast(invoiced_at as date) as sold_on,
            date_add(
                cast(invoiced_at as date), pmod(1 - dayofweek(cast(invoiced_at as date)), 7)
            ) as sunday,
            quantity as units
        from invoice_lines
        where line_type = 'sale'
    ),
    ends as (
        select case when max(sold_on) = max(sunday) then max(sunday)
            else date_sub(max(sunday), 7) end as last_sunday
        from sales
    ),
    products as (
        select
            stock_code,
            -- The first week that is wholly after the first sale.
            case when dayofweek(min(sold_on)) = 2 then min(sunday)
                else date_add(min(sunday), 7) end as first_sunday
        from sales
        group by stock_code
    ),
    weekly as (
        select stock_code, sunday, sum(units) as units from sales group by stock_code, sunday
    ),
    grid as (
        select
            stock_code,
            explode(sequence(first_sunday, last_sunday, interval 7 days)) as sunday
        from products cross join ends
        where first_sunday <= last_sunday
    ),
    series as (
        select g.stock_code, g.sunday, coalesce(w.units, 0) as units
        from grid g left join weekly w on g.stock_code = w.stock_code and g.sunday = w.sunday
    ),
    changes as (
        select *,
            abs(units - lag(units) over (partition by stock_code order by sunday)) as change,
            {
    ", ".join(
        f"lead(units, {week}) over (partition by stock_code order by sunday) as week_{week}"
        for week in range(1, WEEKS_AHEAD + 1)
    )
}
        from series
    ),
    origins as (
        select *,
            row_number() over (partition by stock_code order by sunday) as weeks_known,
            avg(change) over (
                partition by stock_code order by sunday
                rows between unbounded preceding and current row
            ) as mean_change,
            sum(case when units > 0 then 1 else 0 end) over (
                partition by stock_code order by sunday
                rows between {WEEKS - 1} preceding and current row
            ) as weeks_sold
        from changes
    )
    select
        stock_code,
        cast(date_add(sunday, 1) as timestamp) as event_time,
        case
            when weeks_known < {WEEKS} then 'new'
            when weeks_sold < 4 then 'slow'
            else 'regular'
        end as segment,
        greatest(mean_change, 0.05) as scale,
        {", ".join(f"week_{week}" for week in range(1, WEEKS_AHEAD + 1))}
    from origins cross join ends
    where week_{WEEKS_AHEAD} is not null
        and weeks_known >= {LEAST_WEEKS}
        and weeks_sold > 0
        and pmod(datediff(last_sunday, sunday), 14) = 0
"""
"""Products at the end of every other Sunday; scaled by what a week has differed from the next."""

demand_forecast = Forecaster(
    name="demand_forecast",
    contract=DemandForecast,
    examples=EXAMPLES,
    tables=["silver.invoice_lines"],
    features={product_demand: product_demand.features},
    split=Split(horizon=days(7 * WEEKS_AHEAD), holdout=days(28)),
    # The months before Christmas sell more than any that it has learned from.
    limits=Limits(calibration=0.08, megabytes=5),
    amount="units",
    history=UNITS,
    level="mean_13",
    amounts=["mean_4", "mean_8", "deviation_4", "deviation_13", "smoothed"],
    ahead=[HOLIDAYS_AHEAD],
    weeks=WEEKS_AHEAD,
)
