"""Product demand: how much of a product was sold in the weeks up to a day, at what price, to whom,
and how many days the weeks to come have on which hardly anybody buys.

The weeks are the seven days up to the day, the seven before, and so on: on a Sunday they are those
of the calendar. Weeks that are not wholly after the first sale are null, as nobody could buy then.
"""

from aquifer.contract import Contract, Field, Key, hours, table
from aquifer.features.view import FeatureRow, feature_view
from assets.features.bank_holidays import bank_holidays
from assets.silver.invoice_lines import invoice_lines

WEEKS = 13
"""How far back features look."""

LEAST_WEEKS = 8
"""Of a product that has been sold for less there is nothing to say."""

WEEKS_AHEAD = 4
"""Of how many weeks to come the bank holidays are told."""

HOLIDAYS = ", ".join(f"date'{day}'" for day in bank_holidays(2010, 2040))


class ProductDemand(FeatureRow, Contract):
    """A product first sold 8 weeks ago or more and sold in the last 13, at the end of a day."""

    stock_code: str = Key(description="stock code, trimmed and in upper case")
    units_1: int = Field(ge=0, description="units sold in the last 7 days")
    units_2: int = Field(ge=0, description="units sold in the 2nd week back")
    units_3: int = Field(ge=0, description="units sold in the 3rd week back")
    units_4: int = Field(ge=0, description="units sold in the 4th week back")
    units_5: int = Field(ge=0, description="units sold in the 5th week back")
    units_6: int = Field(ge=0, description="units sold in the 6th week back")
    units_7: int = Field(ge=0, description="units sold in the 7th week back")
    units_8: int = Field(ge=0, description="units sold in the 8th week back")
    units_9: int | None = Field(ge=0, description="units sold in the 9th week back")
    units_10: int | None = Field(ge=0, description="units sold in the 10th week back")
    units_11: int | None = Field(ge=0, description="units sold in the 11th week back")
    units_12: int | None = Field(ge=0, description="units sold in the 12th week back")
    units_13: int | None = Field(ge=0, description="units sold in the 13th week back")
    mean_4: float = Field(ge=0, description="mean units a week, over 4 weeks")
    mean_8: float = Field(ge=0, description="mean units a week, over 8 weeks")
    mean_13: float = Field(ge=0, description="mean units a week, over 13 weeks or those known")
    deviation_4: float = Field(ge=0, description="standard deviation of 4 weeks' units")
    deviation_13: float = Field(ge=0, description="standard deviation of 13 weeks' units")
    smoothed: float = Field(ge=0, description="mean units, each week weighing 0.7 of the next")
    sold_weeks_4: int = Field(ge=0, le=4, description="of 4 weeks those with a sale")
    sold_share_13: float = Field(ge=0, le=1, description="share of 13 weeks with a sale")
    weeks_known: int = Field(
        ge=LEAST_WEEKS, le=26, description="weeks since first sold, at most 26"
    )
    days_since_sale: int = Field(ge=0, lt=7 * WEEKS, description="days since the last sale")
    buyers_1: int = Field(ge=0, description="buyers in the last week, counted each day")
    buyers_4: int = Field(ge=0, description="buyers in 4 weeks, counted each day")
    buyers_13: float = Field(ge=0, description="mean buyers a week in 13, counted each day")
    lines_4: int = Field(ge=0, description="lines of sale in 4 weeks")
    units_a_line: float = Field(gt=0, description="mean units of a line of sale in 13 weeks")
    largest_share: float = Field(gt=0, le=1, description="share of the largest line in 13 weeks")
    price: float = Field(gt=0, description="mean price of a line in 13 weeks, GBP")
    price_change: float | None = Field(
        gt=0, description="mean price of a line in 4 weeks for that in 13; null without a sale"
    )
    holidays_1: int = Field(ge=0, le=7, description="bank holidays in the next 7 days")
    holidays_2: int = Field(ge=0, le=7, description="bank holidays in the 2nd week to come")
    holidays_3: int = Field(ge=0, le=7, description="bank holidays in the 3rd week to come")
    holidays_4: int = Field(ge=0, le=7, description="bank holidays in the 4th week to come")

    class Config:
        metadata = table(
            owner="team:ml", grain="a product at the end of a day", fresh_within=hours(26)
        )


UNITS = [f"units_{back}" for back in range(1, WEEKS + 1)]
"""The units of each week, the last one first."""

HOLIDAYS_AHEAD = [f"holidays_{week}" for week in range(1, WEEKS_AHEAD + 1)]
"""The bank holidays of each week to come."""

KNOWN = [
    name if back <= LEAST_WEEKS else f"coalesce({name}, 0)"
    for back, name in enumerate(UNITS, start=1)
]
"""The units of each week in sums; those of a week that is not known count for nothing."""


def _units(back: int) -> str:
    sold = f"sum(case when back = {back} then units else 0 end)"
    return f"case when {back} <= min(weeks_known) then {sold} end as units_{back}"


def _mean(upto: int) -> str:
    return f"({' + '.join(KNOWN[:upto])}) / {_count(upto)}"


def _deviation(upto: int) -> str:
    squares = " + ".join(f"pow({units}, 2)" for units in KNOWN[:upto])
    return f"sqrt(greatest(({squares}) / {_count(upto)} - pow({_mean(upto)}, 2), 0))"


def _count(upto: int) -> str:
    return str(upto) if upto <= LEAST_WEEKS else "weeks_seen"


def _smoothed() -> str:
    weights = [0.7**back for back in range(WEEKS)]
    total = " + ".join(
        f"{weight:.6f}D * {units}" for weight, units in zip(weights, KNOWN, strict=True)
    )
    seen = " + ".join(
        f"case when {back} < weeks_seen then {weight:.6f}D else 0 end"
        for back, weight in enumerate(weights)
    )
    return f"({total}) / ({seen})"


def _holidays(week: int) -> str:
    within = f"holiday > date_add(day, {7 * (week - 1)}) and holiday <= date_add(day, {7 * week})"
    return f"count(case when {within} then 1 end) as holidays_{week}"


@feature_view(ProductDemand, reads={invoice_lines: "invoiced_at"})
def product_demand() -> str:
    return f"""
    with purchases as (
        select
            stock_code,
            cast(invoiced_at as date) as sold_on,
            sum(quantity) as units,
            max(quantity) as largest,
            count(*) as lines,
            sum(unit_price) as prices
        from invoice_lines
        where line_type = 'sale'
        group by stock_code, cast(invoiced_at as date), coalesce(customer_id, invoice_no)
    ),
    sales as (
        select
            stock_code,
            sold_on,
            sum(units) as units,
            max(largest) as largest,
            sum(lines) as lines,
            count(*) as buyers,
            sum(prices) as prices
        from purchases
        group by stock_code, sold_on
    ),
    first_sales as (
        select stock_code, min(sold_on) as first_sold from sales group by stock_code
    ),
    weeks as (
        select
            d.day,
            s.stock_code,
            cast(floor(datediff(d.day, s.sold_on) / 7) as int) + 1 as back,
            min(datediff(d.day, s.sold_on)) as days_since_sale,
            sum(s.units) as units,
            max(s.largest) as largest,
            sum(s.lines) as lines,
            sum(s.buyers) as buyers,
            sum(s.prices) as prices
        from days d join sales s
            on s.sold_on <= d.day and s.sold_on > date_sub(d.day, {7 * WEEKS})
        group by d.day, s.stock_code, cast(floor(datediff(d.day, s.sold_on) / 7) as int) + 1
    ),
    known as (
        select
            w.*,
            cast(floor((datediff(w.day, f.first_sold) + 1) / 7) as int) as weeks_known
        from weeks w join first_sales f on w.stock_code = f.stock_code
        where f.first_sold <= date_sub(w.day, {7 * LEAST_WEEKS - 1})
    ),
    windows as (
        select
            day,
            stock_code,
            {", ".join(_units(back) for back in range(1, WEEKS + 1))},
            least(min(weeks_known), 26) as weeks_known,
            least(min(weeks_known), {WEEKS}) as weeks_seen,
            min(days_since_sale) as days_since_sale,
            count(case when back <= 4 then 1 end) as sold_weeks_4,
            count(case when back <= weeks_known then 1 end) as sold_weeks,
            sum(case when back = 1 then buyers else 0 end) as buyers_1,
            sum(case when back <= 4 then buyers else 0 end) as buyers_4,
            sum(buyers) as buyers,
            sum(case when back <= 4 then lines else 0 end) as lines_4,
            sum(lines) as lines,
            sum(units) as units,
            max(largest) as largest,
            cast(sum(case when back <= 4 then prices end) as double) as prices_4,
            cast(sum(prices) as double) as prices
        from known
        group by day, stock_code
    ),
    holidays as (
        select day, {", ".join(_holidays(week) for week in range(1, WEEKS_AHEAD + 1))}
        from days cross join (select explode(array({HOLIDAYS})) as holiday)
        group by day
    )
    select
        w.*,
        {", ".join(f"h.{name}" for name in HOLIDAYS_AHEAD)},
        {_mean(4)} as mean_4,
        {_mean(8)} as mean_8,
        {_mean(WEEKS)} as mean_13,
        {_deviation(4)} as deviation_4,
        {_deviation(WEEKS)} as deviation_13,
        {_smoothed()} as smoothed,
        sold_weeks / weeks_seen as sold_share_13,
        buyers / weeks_seen as buyers_13,
        units / lines as units_a_line,
        largest / units as largest_share,
        prices / lines as price,
        (prices_4 / nullif(lines_4, 0)) / (prices / lines) as price_change
    from windows w join holidays h on w.day = h.day
    """
