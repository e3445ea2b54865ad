{#- The key of an instant's day in the calendar. -#}
{% macro date_key(instant) -%}
    cast(date_format({{ instant }}, 'yyyyMMdd') as bigint)
{%- endmacro %}

{#- Hours from one instant to another, exact to four places. -#}
{% macro hours_between(begin, end) -%}
    cast(
        (unix_micros({{ end }}) - unix_micros({{ begin }})) / cast(3600000000 as decimal(18, 0))
        as decimal(18, 4)
    )
{%- endmacro %}
