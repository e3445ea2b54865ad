{{ config(unique_key=['geography_key'], technical=['_interval_seq']) }}
{%- set attributes = ['region'] %}

with touched as (
    select country
    from {{ source('silver', 'region_changes') }}
    where _seq > {{ since('silver.region_changes') }}
    union
    select country
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }}
    union
    select 'unknown' as country
),

-- A country that the order database does not know is a member of no region, also when its invoices
-- were withdrawn: what has pointed at a member must go on finding it.
inferred as (
    select l.country
    from {{ source('silver', 'invoice_lines') }} as l
    inner join touched as t on l.country = t.country
    where not exists (
        select 1
        from {{ source('silver', 'region_changes') }} as c
        where c.country = l.country and not c._deleted
    )
    union
    select 'unknown' as country
),

states as (
    select
        c.country,
        c.region,
        c.is_deleted,
        case
            when row_number() over (partition by c.country order by c.changed_at) = 1
                then timestamp'1900-01-01 00:00:00'
            else c.changed_at
        end as at
    from {{ source('silver', 'region_changes') }} as c
    inner join touched as t on c.country = t.country
    where not c._deleted
    union all
    select
        country,
        {{ blank_state(attributes) }}
    from inferred
),

versions as (
    {{ versions('states', 'country', 'geography_key', attributes) }}
)

{{ with_vanished('versions', 'country', 'geography_key', attributes, 'touched') }}
