{{ config(unique_key=['customer_key'], technical=['_interval_seq']) }}
{%- set attributes = ['name', 'city', 'country', 'tier'] %}

with touched as (
    select customer_id
    from {{ source('silver', 'customer_changes') }}
    where _seq > {{ since('silver.customer_changes') }}
    union
    select customer_id
    from {{ source('silver', 'members') }}
    where _seq > {{ since('silver.members') }}
    union
    select m.customer_id
    from {{ source('silver', 'tier_history') }} as h
    inner join {{ source('silver', 'members') }} as m on h.member_id = m.member_id
    where h._seq > {{ since('silver.tier_history') }}
    union
    select customer_id
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }} and customer_id is not null
    union
    select 'unknown' as customer_id
    {%- if not from_scratch() %}
    union
    -- A membership that went to another customer took its tiers along, from nobody knows whom.
    select d.customer_id
    from {{ this }} as d
    where
        d.tier is not null
        and exists (
            select 1
            from {{ source('silver', 'members') }}
            where _seq > {{ since('silver.members') }}
        )
    {%- endif %}
),

changes as (
    select c.*
    from {{ source('silver', 'customer_changes') }} as c
    inner join touched as t on c.customer_id = t.customer_id
    where not c._deleted
),

-- A tier counts from its change until it, or the member, was found deleted.
tiers as (
    select
        m.customer_id,
        h.tier_change_id,
        h.tier,
        h.changed_at,
        least(
            coalesce(h.deleted_at, timestamp'9999-12-31 00:00:00'),
            coalesce(m.deleted_at, timestamp'9999-12-31 00:00:00')
        ) as gone_at
    from {{ source('silver', 'tier_history') }} as h
    inner join {{ source('silver', 'members') }} as m on h.member_id = m.member_id
    inner join touched as t on m.customer_id = t.customer_id
),

-- Known from the order database, the rewards programme or an invoice, be it one that was withdrawn:
-- what has pointed at a member must go on finding it.
known as (
    select customer_id from changes
    union
    select customer_id from tiers
    union
    select l.customer_id
    from {{ source('silver', 'invoice_lines') }} as l
    inner join touched as t on l.customer_id = t.customer_id
    union
    select 'unknown' as customer_id
),

instants as (
    select customer_id, timestamp'1900-01-01 00:00:00' as at from known
    union
    select customer_id, changed_at as at from changes
    union
    select customer_id, changed_at as at from tiers
    union
    select customer_id, gone_at as at from tiers where gone_at < timestamp'9999-12-31 00:00:00'
),

-- Before its first change a customer has the attributes of that change, so that a row that
-- arrives late completes the inferred member.
attributed as (
    select *
    from (
        select
            i.customer_id,
            i.at,
            c.name,
            c.city,
            c.country,
            coalesce(c.is_deleted, false) as is_deleted,
            row_number() over (
                partition by i.customer_id, i.at
                order by
                    coalesce(c.changed_at <= i.at, false) desc,
                    case when c.changed_at <= i.at then c.changed_at end desc,
                    c.changed_at asc
            ) as nth
        from instants as i
        left join changes as c on i.customer_id = c.customer_id
    )
    where nth = 1
),

states as (
    select
        customer_id,
        at,
        name,
        city,
        country,
        is_deleted,
        tier
    from (
        select
            a.*,
            h.tier,
            row_number() over (
                partition by a.customer_id, a.at order by h.changed_at desc, h.tier_change_id desc
            ) as tier_nth
        from attributed as a
        left join tiers as h
            on a.customer_id = h.customer_id and h.changed_at <= a.at and a.at < h.gone_at
    )
    where tier_nth = 1
),

versions as (
    {{ versions('states', 'customer_id', 'customer_key', attributes) }}
)

{{ with_vanished('versions', 'customer_id', 'customer_key', attributes, 'touched') }}
