{{ config(unique_key=['product_key']) }}

-- What was sold or listed stays a member, without what nobody says of it any more: what has pointed
-- at it must go on finding it.
with touched as (
    select stock_code
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }} and line_type in ('sale', 'return')
    union
    select sku as stock_code
    from {{ source('silver', 'products') }}
    where _seq > {{ since('silver.products') }}
    union
    select 'unknown' as stock_code
),

-- Only sales name a product: other lines call it "damages" or "?".
described as (
    select
        l.stock_code,
        max_by(
            l.description, struct(l.invoiced_at, l.invoice_no, l.line_id)
        ) filter (where l.line_type = 'sale' and l.description is not null) as description
    from {{ ref('stg_invoice_lines') }} as l
    inner join touched as t on l.stock_code = t.stock_code
    where l.line_type in ('sale', 'return')
    group by l.stock_code
)

select
    md5(concat_ws('|', t.stock_code, unix_micros(timestamp'1900-01-01 00:00:00'))) as product_key,
    t.stock_code,
    case when t.stock_code = 'unknown' then 'Unknown' else d.description end as description,
    p.category,
    p.list_price,
    p.cost,
    false as _deleted
from touched as t
left join described as d on t.stock_code = d.stock_code
left join {{ ref('stg_products') }} as p on t.stock_code = p.sku
