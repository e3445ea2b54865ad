{{ config(unique_key=['hour', 'country']) }}
{%- set touched %}
    {{ changed_lines("date_trunc('HOUR', invoiced_at) as hour, country") }}
    union
    {{ changed_store_lines("date_trunc('HOUR', l.sold_at) as hour, l.country") }}
    {%- if stores_moved() %}
    union
    select hour, country from {{ this }}
    union
    select date_trunc('HOUR', sold_at) as hour, country from {{ ref('fct_sales') }} where channel = 'store'
    {%- endif %}
{%- endset %}

with touched as (
    {{ touched }}
),

baskets as (
    select
        date_trunc('HOUR', f.sold_at) as hour,
        f.country,
        f.invoice_no,
        sum(f.net_amount) as net,
        sum(case when f.line_type = 'sale' then f.net_amount end) as basket
    from {{ ref('fct_sales') }} as f
    inner join touched as t
        on date_trunc('HOUR', f.sold_at) = t.hour and f.country = t.country
    where {{ in_months_of('f', 'hour', touched) }}
    group by date_trunc('HOUR', f.sold_at), f.country, f.invoice_no
),

metrics as (
    select
        hour,
        country,
        count(basket) as invoices,
        cast(sum(net) as decimal(18, 4)) as revenue,
        cast(avg(basket) as decimal(18, 4)) as mean_basket,
        cast(percentile(basket, 0.95) as decimal(18, 4)) as p95_basket
    from baskets
    group by hour, country
)

select
    t.hour,
    t.country,
    m.invoices,
    m.revenue,
    m.mean_basket,
    m.p95_basket,
    m.hour is null as _deleted
from touched as t
left join metrics as m on t.hour = m.hour and t.country = m.country
