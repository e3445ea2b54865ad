{#- Lines of the tills' sales and returns among some events, voided ones included, and where they were
    sold. A macro, as what a query of its own reads cannot be an ephemeral model. -#}
{% macro store_lines(events) %}
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
    from ({{ events }})
    where type in ('sale', 'return')
) as e
left join {{ ref('dim_store') }} as s
    on e.store_id = s.store_id and e.event_time >= s.valid_from and e.event_time < s.valid_to
{% endmacro %}

{#- The events with the ids that a query gives; looked for in the files of their span. -#}
{% macro events_of(ids, span) -%}
    select e.*
    from {{ source('silver', 'pos_events') }} as e
    left semi join ({{ ids }}) as t on e.event_id = t.event_id
    where {{ within('e.event_id', span) }}
{%- endmacro %}

{#- The ids of the tills' sales and returns at whose lines a model has to look: those that are new to
    it, and, unless it only appends, those that were replaced or voided since. Where an event's content
    was replaced, what the former content voided counts, too. -#}
{% macro touched_store_events() -%}
    {%- set events = source('silver', 'pos_events') -%}
    {%- set unseen = taken_in_by_this('silver.pos_events', '_seq') -%}
    select event_id
    from {{ events }}
    where type in ('sale', 'return') and {{ new_to_this('silver.pos_events') }}
    {%- if not from_scratch() and not only_appends() %}
    union
    select event_id
    from {{ events }}
    where {{ unseen }} and _seq > _first_seq
    union
    select voids as event_id
    from {{ events }}
    where {{ unseen }} and type = 'void'
    union
    select get_json_object(former, '$.voids') as event_id
    from (
        select explode(_former) as former
        from {{ events }}
        where {{ unseen }}
    )
    {%- endif %}
{%- endmacro %}

{#- The least and the greatest of the ids that a query gives. Ids grow with time, so that engines find
    the files by them. -#}
{% macro span_of(query, id='event_id') -%}
    {{ return(run_query("select min(" ~ id ~ "), max(" ~ id ~ ") from (" ~ query ~ ")").rows[0].values() if execute else (none, none)) }}
{%- endmacro %}

{#- SQL that is true for the ids of a span. -#}
{% macro within(column, span) -%}
    {%- if span[0] is none -%} false
    {%- else -%} {{ column }} between {{ quoted(span[0]) }} and {{ quoted(span[1]) }}
    {%- endif -%}
{%- endmacro %}

{#- The groups of the tills' lines at which a mart has to look, of columns of `store_lines`: those that
    were written since, those that are voided, and those that an event held before its content was
    replaced. -#}
{% macro changed_store_lines(columns) -%}
    {%- set voided -%}
        select voids as event_id
        from {{ source('silver', 'pos_events') }}
        where type = 'void' and {{ taken_in_by_this('silver.pos_events', '_seq') }}
    {%- endset %}
    {#- Named here, where dbt sees what they depend on when it parses. -#}
    {%- set lines = store_lines(events_of(voided, span_of(voided))) -%}
    {%- set former = former_store_lines() -%}
    select distinct {{ columns }}
    from {{ ref('fct_sales') }} as l
    where l.channel = 'store' and l._seq > {{ since('gold.fct_sales') }}
    {%- if not from_scratch() %}
    union
    select {{ columns }} from ({{ lines }}) as l
    union
    select {{ columns }} from ({{ former }}) as l
    {%- endif %}
{%- endmacro %}

{#- Lines of what events held before their content was replaced, as far as they make groups. -#}
{% macro former_store_lines() -%}
    select
        e.event_time as sold_at,
        coalesce(s.country, 'Unspecified') as country,
        e.customer_id,
        upper(trim(e.line.sku)) as stock_code
    from (
        select
            try_cast(trim(event.event_time) as timestamp) as event_time,
            event.store_id,
            event.member_id as customer_id,
            explode(event.lines) as line
        from (
            select from_json(former, 'event_time string, store_id string, member_id string, lines array<struct<sku: string>>') as event
            from (
                select explode(_former) as former
                from {{ source('silver', 'pos_events') }}
                where {{ taken_in_by_this('silver.pos_events', '_seq') }}
            )
        )
    ) as e
    left join {{ ref('dim_store') }} as s
        on e.store_id = s.store_id and e.event_time >= s.valid_from and e.event_time < s.valid_to
{%- endmacro %}

{#- Whether a store is, or was, elsewhere than a model has seen: its sales are of another country. -#}
{% macro stores_moved() -%}
    {%- set dimension = ref('dim_store') -%}
    {%- set moved = literals("select distinct store_id from " ~ dimension ~ " where _interval_seq > " ~ since('gold.dim_store')) -%}
    {{ return(not from_scratch() and moved != "''") }}
{%- endmacro %}
