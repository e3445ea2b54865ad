{{ config(unique_key=['stock_code']) }}

with touched as (
    {{ changed_lines('stock_code') }}
    union
    {{ changed_store_lines('l.stock_code') }}
    union
    select stock_code
    from {{ ref('dim_product') }}
    where _seq > {{ since('gold.dim_product') }} and stock_code <> 'unknown'
),

sales as (
    select
        f.stock_code,
        sum(case when f.line_type = 'sale' then f.quantity else 0 end) as units_sold,
        -sum(case when f.line_type = 'return' then f.quantity else 0 end) as units_returned,
        cast(sum(f.net_amount) as decimal(18, 4)) as revenue,
        count(distinct f.customer_id) as customers,
        max(case when f.line_type = 'sale' then f.sold_at end) as last_sold_at
    from {{ ref('fct_sales') }} as f
    inner join touched as t on f.stock_code = t.stock_code
    group by f.stock_code
)

select
    t.stock_code,
    p.description,
    p.category,
    s.units_sold,
    s.units_returned,
    s.revenue,
    {{ ratio('s.units_returned', 'nullif(s.units_sold, 0)') }} as return_rate,
    s.customers,
    cast(s.revenue - (s.units_sold - s.units_returned) * p.cost as decimal(18, 4)) as margin,
    s.last_sold_at,
    s.stock_code is null as _deleted
from touched as t
left join sales as s on t.stock_code = s.stock_code
left join {{ ref('dim_product') }} as p on t.stock_code = p.stock_code
