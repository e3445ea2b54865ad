{{ config(unique_key=['store_key'], technical=['_interval_seq']) }}
{%- set attributes = ['name', 'city', 'country'] %}

with touched as (
    select distinct store_id
    from {{ source('silver', 'store_changes') }}
    where _seq > {{ since('silver.store_changes') }}
    union
    select 'unknown' as store_id
),

states as (
    select
        c.store_id,
        c.name,
        c.city,
        c.country,
        c.is_deleted,
        case
            when row_number() over (partition by c.store_id order by c.changed_at) = 1
                then timestamp'1900-01-01 00:00:00'
            else c.changed_at
        end as at
    from {{ source('silver', 'store_changes') }} as c
    inner join touched as t on c.store_id = t.store_id
    where not c._deleted
    union all
    select
        'unknown' as store_id,
        {{ blank_state(attributes, {'name': "'Unknown'"}) }}
),

versions as (
    {{ versions('states', 'store_id', 'store_key', attributes) }}
)

{{ with_vanished('versions', 'store_id', 'store_key', attributes, 'touched') }}
