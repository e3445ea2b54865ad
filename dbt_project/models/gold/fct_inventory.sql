{{ config(unique_key=['day', 'store_id', 'stock_code'], partition_by='day') }}
{%- set first_day = "date'" ~ var('first_day') ~ "'" %}
{%- set last_day = "date'" ~ var('last_day') ~ "'" %}

with until as (
    -- Of the days after the last movement there is no snapshot.
    select least({{ last_day }}, max(cast(moved_at as date))) as last_day
    from {{ ref('stg_stock_movements') }}
),

moved as (
    select
        store_id,
        sku as stock_code,
        cast(moved_at as date) as moved_on,
        sum(quantity) as quantity
    from {{ ref('stg_stock_movements') }}
    where cast(moved_at as date) <= {{ last_day }}
    group by store_id, sku, cast(moved_at as date)
),

-- What was on hand from a movement on until the next.
levels as (
    select
        store_id,
        stock_code,
        moved_on,
        sum(quantity) over (
            partition by store_id, stock_code order by moved_on
            rows between unbounded preceding and current row
        ) as on_hand,
        coalesce(
            date_sub(lead(moved_on) over (partition by store_id, stock_code order by moved_on), 1),
            until.last_day
        ) as holds_until
    from moved
    cross join until
),

snapshot as (
    select
        explode(sequence(greatest(moved_on, {{ first_day }}), holds_until)) as day,
        store_id,
        stock_code,
        on_hand
    from levels
    where holds_until >= {{ first_day }}
),

keyed as (
    select
        n.day,
        n.store_id,
        n.stock_code,
        {{ date_key('n.day') }} as date_key,
        coalesce(s.store_key, {{ unknown_key() }}) as store_key,
        coalesce(p.product_key, {{ unknown_key() }}) as product_key,
        cast(n.on_hand as bigint) as on_hand,
        false as _deleted
    from snapshot as n
    -- The version of the store at the end of the day.
    left join {{ ref('dim_store') }} as s
        on
            n.store_id = s.store_id
            and cast(date_add(n.day, 1) as timestamp) > s.valid_from
            and cast(date_add(n.day, 1) as timestamp) <= s.valid_to
    left join {{ ref('dim_product') }} as p on n.stock_code = p.stock_code
)

select * from keyed
{%- if is_incremental() %}
union all
select {{ model.columns.keys() | join(', ') }}, true as _deleted
from {{ this }} as t
where
    t.day between {{ first_day }} and {{ last_day }}
    and not exists (
        select 1
        from keyed as k
        where k.day = t.day and k.store_id = t.store_id and k.stock_code = t.stock_code
    )
{%- endif %}
