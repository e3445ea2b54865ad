-- Lines of the tills' sales and returns, voided ones included, and where they were sold.
select
    concat(e.event_id, '|', cast(e.place + 1 as string)) as sale_line_id,
    e.event_id,
    e.type as line_type,
    e.event_time as sold_at,
    e.sent_at,
    e.store_id,
    coalesce(s.store_key, {{ unknown_key() }}) as store_key,
    coalesce(s.country, 'Unspecified') as country,
    e.member_id as customer_id,
    upper(trim(e.line.sku)) as stock_code,
    e.line.quantity,
    e.line.unit_price,
    e.line.discount,
    -- An amount that overflows stays null, which the contract does not let pass for nothing.
    try_cast(e.line.quantity * e.line.unit_price - e.line.discount as decimal(18, 4)) as net_amount,
    e._month,
    e._seq,
    e._first_seq
from (
    select
        *,
        posexplode(lines) as (place, line)
    from {{ source('silver', 'pos_events') }}
    where type in ('sale', 'return')
) as e
left join {{ ref('dim_store') }} as s
    on e.store_id = s.store_id and e.event_time >= s.valid_from and e.event_time < s.valid_to
