{{ config(unique_key=['day', 'country', 'channel']) }}
{%- set touched %}
    {{ changed_lines("cast(invoiced_at as date) as day, country, 'online' as channel") }}
    union
    {{ changed_store_lines("cast(l.sold_at as date) as day, l.country, 'store' as channel") }}
    {%- if stores_moved() %}
    union
    select day, country, channel from {{ this }} where channel = 'store'
    union
    select cast(sold_at as date) as day, country, channel from {{ ref('fct_sales') }} where channel = 'store'
    {%- endif %}
    {%- if is_incremental() and not from_scratch() %}
    union
    -- A rate holds from its day until the next rate, however far away that is.
    select d.day, d.country, d.channel
    from {{ this }} as d
    inner join (
        select
            _seq,
            rated_on,
            lead(rated_on) over (order by rated_on) as next_on
        from {{ source('silver', 'exchange_rates') }}
        where currency = 'EUR'
    ) as r on d.day >= r.rated_on and (r.next_on is null or d.day < r.next_on)
    where r._seq > {{ since('silver.exchange_rates') }}
    {%- endif %}
{%- endset %}

with touched as (
    {{ touched }}
),

sales as (
    select
        cast(f.sold_at as date) as day,
        f.country,
        f.channel,
        count(distinct case when f.line_type = 'sale' then f.invoice_no end) as invoices,
        count(*) as lines,
        sum(f.quantity) as units,
        sum(case when f.line_type = 'sale' then f.net_amount else 0 end) as gross_sales,
        sum(case when f.line_type = 'return' then f.net_amount else 0 end) as returns,
        sum(f.net_amount) as revenue
    from {{ ref('fct_sales') }} as f
    inner join touched as t
        on cast(f.sold_at as date) = t.day and f.country = t.country and f.channel = t.channel
    where {{ in_months_of('f', 'day', touched) }}
    group by cast(f.sold_at as date), f.country, f.channel
),

rates as (
    select
        rated_on,
        rate,
        lead(rated_on) over (order by rated_on) as next_on
    from {{ ref('stg_exchange_rates') }}
    where currency = 'EUR'
)

select
    t.day,
    t.country,
    t.channel,
    s.invoices,
    s.lines,
    s.units,
    cast(s.gross_sales as decimal(18, 4)) as gross_sales,
    cast(s.returns as decimal(18, 4)) as returns,
    cast(s.revenue as decimal(18, 4)) as revenue,
    r.rate as eur_rate,
    cast(cast(s.revenue as decimal(18, 4)) * r.rate as decimal(18, 4)) as revenue_eur,
    s.day is null as _deleted
from touched as t
left join sales as s on t.day = s.day and t.country = s.country and t.channel = s.channel
left join rates as r on t.day >= r.rated_on and (r.next_on is null or t.day < r.next_on)
