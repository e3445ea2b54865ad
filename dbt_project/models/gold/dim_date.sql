{{ config(unique_key=['date_key']) }}

select
    {{ date_key('day') }} as date_key,
    day,
    cast(year(day) as bigint) as year,
    cast(quarter(day) as bigint) as quarter,
    cast(month(day) as bigint) as month,
    cast(weekofyear(day) as bigint) as week,
    cast((dayofweek(day) + 5) % 7 + 1 as bigint) as weekday,
    dayofweek(day) in (1, 7) as is_weekend,
    false as _deleted
from (
    select explode(sequence(date'2000-01-01', date'2050-12-31')) as day
    union all
    select cast(null as date) as day
)
{%- if not from_scratch() %}
where false
{%- endif %}
