{{ config(unique_key=['customer_id']) }}
{%- set latest -%}
    {{ literals("select cast(cast(max(sold_at) as date) as string) from " ~ ref('fct_sales') ~ " where line_type = 'sale'") }}
{%- endset %}

with touched as (
    {{ changed_lines('customer_id') }} and customer_id is not null
    union
    select customer_id
    from ({{ changed_store_lines('l.customer_id') }})
    where customer_id is not null
    union
    select customer_id
    from {{ ref('dim_customer') }}
    where _seq > {{ since('gold.dim_customer') }} and customer_id <> 'unknown'
),

sales as (
    select
        f.customer_id,
        min(case when f.line_type = 'sale' then f.sold_at end) as first_sale_at,
        max(case when f.line_type = 'sale' then f.sold_at end) as last_sale_at,
        count(distinct case when f.line_type = 'sale' then f.invoice_no end) as frequency,
        cast(sum(f.net_amount) as decimal(18, 4)) as monetary,
        cast(sum(case when f.line_type = 'return' then f.net_amount else 0 end) as decimal(18, 4))
            as returned
    from {{ ref('fct_sales') }} as f
    inner join touched as t on f.customer_id = t.customer_id
    group by f.customer_id
),

-- Of the others only the recency moves on, with the latest sale of all.
customers as (
    select
        t.customer_id,
        c.country,
        c.tier,
        s.first_sale_at,
        s.last_sale_at,
        s.frequency,
        s.monetary,
        s.returned
    from touched as t
    left join sales as s on t.customer_id = s.customer_id
    left join {{ ref('dim_customer') }} as c on t.customer_id = c.customer_id and c.is_current
    {%- if is_incremental() %}
    union all
    select
        o.customer_id,
        o.country,
        o.tier,
        o.first_sale_at,
        o.last_sale_at,
        o.frequency,
        o.monetary,
        o.returned
    from {{ this }} as o
    where not exists (select 1 from touched as t where t.customer_id = o.customer_id)
    {%- endif %}
)

select
    c.customer_id,
    c.country,
    c.tier,
    c.first_sale_at,
    c.last_sale_at,
    cast(datediff(try_cast({{ latest }} as date), cast(c.last_sale_at as date)) as bigint) as recency_days,
    c.frequency,
    c.monetary,
    c.returned,
    c.last_sale_at is null as _deleted
from customers as c
