{#-
  Versions from states: half-open intervals without gap or overlap, the first from 1900 on.

  `states` is a relation with the natural key, `at` (the first row of a key at 1900-01-01), the
  attributes and `is_deleted`: one row a key and instant, for whole histories of the touched keys.
  Neighbours that are equal become one version. Versions that this leaves without a place are
  yielded with `_deleted`.
-#}
{% macro versions(states, natural_key, surrogate_key, attributes) %}
    {%- set same -%}
        {%- for column in attributes + ['is_deleted'] %}{{ column }} <=> was_{{ column }} and {% endfor -%}
    {%- endset %}
    select
        md5(concat_ws('|', {{ natural_key }}, unix_micros(valid_from))) as {{ surrogate_key }},
        {{ natural_key }},
        {{ attributes | join(', ') }},
        valid_from,
        valid_to,
        valid_to = timestamp'9999-12-31 00:00:00' as is_current,
        is_deleted,
        false as _deleted,
        cast({{ var('build') }} as bigint) as _interval_seq
    from (
        select
            *,
            at as valid_from,
            coalesce(
                lead(at) over (partition by {{ natural_key }} order by at),
                timestamp'9999-12-31 00:00:00'
            ) as valid_to
        from (
            select
                *,
                {% for column in attributes + ['is_deleted'] -%}
                lag({{ column }}) over (partition by {{ natural_key }} order by at) as was_{{ column }},
                {% endfor -%}
                row_number() over (partition by {{ natural_key }} order by at) as nth
            from {{ states }}
        )
        where nth = 1 or not ({{ same }} true)
    )
{% endmacro %}

{#- The columns of the only state of a member of which nothing is known, but what is given. -#}
{% macro blank_state(attributes, given={}) -%}
    {%- for column in attributes %}
    {{ given.get(column, 'null') }} as {{ column }},
    {%- endfor %}
    false as is_deleted,
    timestamp'1900-01-01 00:00:00' as at
{%- endmacro %}

{#- The rows to merge: the versions, and what stood of the touched keys and has no place any more. -#}
{% macro with_vanished(versions, natural_key, surrogate_key, attributes, touched) %}
    {%- set columns = [surrogate_key, natural_key] + attributes
        + ['valid_from', 'valid_to', 'is_current', 'is_deleted'] %}
    select {{ columns | join(', ') }}, _interval_seq, _deleted from {{ versions }}
    {%- if is_incremental() %}
    union all
    select {{ columns | join(', ') }}, _interval_seq, true as _deleted from {{ this }} as t
    where
        exists (select 1 from {{ touched }} as k where k.{{ natural_key }} = t.{{ natural_key }})
        and not exists (
            select 1 from {{ versions }} as v where v.{{ surrogate_key }} = t.{{ surrogate_key }}
        )
    {%- endif %}
{% endmacro %}

{#- The `_interval_seq` of a version that is new. No fact can have pointed elsewhere from within the
    first version of a key: what has a fact has a version, inferred if need be. -#}
{% macro interval_seq_of_new() -%}
    case when s.valid_from > timestamp'1900-01-01 00:00:00' then s._interval_seq else -1 end
{%- endmacro %}

{#- The key of the member that stands for what is not known. -#}
{% macro unknown_key() -%}
    md5(concat_ws('|', 'unknown', unix_micros(timestamp'1900-01-01 00:00:00')))
{%- endmacro %}
