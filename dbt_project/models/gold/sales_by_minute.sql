{{ config(unique_key=['minute', 'channel', 'store_id'], partition_by='_month') }}
{%- set touched %}
    {{ changed_lines("date_trunc('MINUTE', invoiced_at) as minute") }}
    union
    {{ changed_store_lines("date_trunc('MINUTE', l.sold_at) as minute") }}
    {%- if stores_moved() %}
    union
    select minute from {{ this }} where channel = 'store'
    union
    select date_trunc('MINUTE', sold_at) as minute from {{ ref('fct_sales') }} where channel = 'store'
    {%- endif %}
{%- endset %}

with touched as (
    {{ touched }}
),

sales as (
    select
        date_trunc('MINUTE', f.sold_at) as minute,
        f.channel,
        s.store_id,
        count(distinct case when f.line_type = 'sale' then f.invoice_no end) as sales,
        count(*) as lines,
        sum(f.quantity) as units,
        cast(sum(f.net_amount) as decimal(18, 4)) as revenue
    from {{ ref('fct_sales') }} as f
    inner join touched as t on date_trunc('MINUTE', f.sold_at) = t.minute
    inner join {{ ref('dim_store') }} as s on f.store_key = s.store_key
    where {{ in_months_of('f', 'minute', touched) }}
    group by date_trunc('MINUTE', f.sold_at), f.channel, s.store_id
),

held as (
    select
        m.minute,
        m.channel,
        m.store_id
    from {{ this }} as m
    inner join touched as t on m.minute = t.minute
    where {{ in_months_of('m', 'minute', touched) }}
)

select
    coalesce(s.minute, h.minute) as minute,
    coalesce(s.channel, h.channel) as channel,
    coalesce(s.store_id, h.store_id) as store_id,
    s.sales,
    s.lines,
    s.units,
    s.revenue,
    date_format(coalesce(s.minute, h.minute), 'yyyy-MM') as _month,
    s.minute is null as _deleted
from sales as s
full join held as h on s.minute = h.minute and s.channel = h.channel and s.store_id = h.store_id
