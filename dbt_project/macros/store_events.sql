{#- The ids of the tills' sales and returns at whose lines a model has to look: those that it has not
    seen, and those that are voided since. Where an event's content was replaced, what the former
    content voided counts, too. -#}
{% macro touched_store_events() -%}
    {%- set events = source('silver', 'pos_events') -%}
    {%- set since = since('silver.pos_events') -%}
    select event_id
    from {{ events }}
    where _seq > {{ since }} and type in ('sale', 'return')
    {%- if not from_scratch() %}
    union
    select voids as event_id
    from {{ events }}
    where _seq > {{ since }} and type = 'void'
    union
    select get_json_object(former, '$.voids') as event_id
    from (
        select explode(_former) as former
        from {{ events }}
        where _seq > {{ since }} and _first_seq <= {{ since }}
    )
    {%- endif %}
{%- endmacro %}

{#- SQL that is true for the ids between the least and the greatest that a query gives. Ids grow with
    time, so that engines find the files by it. -#}
{% macro within_span(column, query) -%}
    {%- set least, greatest = run_query("select min(event_id), max(event_id) from (" ~ query ~ ")").rows[0].values() if execute else (none, none) -%}
    {%- if least is none -%} false
    {%- else -%} {{ column }} between '{{ least }}' and '{{ greatest }}'
    {%- endif -%}
{%- endmacro %}
