{#- The key of an instant's day in the calendar; of a day that it does not have, the unknown day. -#}
{% macro date_key(instant) -%}
    case
        when {{ instant }} >= timestamp'2000-01-01 00:00:00'
            and {{ instant }} < timestamp'2051-01-01 00:00:00'
            then cast(date_format({{ instant }}, 'yyyyMMdd') as bigint)
        else -1
    end
{%- endmacro %}

{#- Hours from one instant to another, exact to four places. -#}
{% macro hours_between(begin, end) -%}
    {{ ratio('(unix_micros(' ~ end ~ ') - unix_micros(' ~ begin ~ '))', '3600000000') }}
{%- endmacro %}

{#- The quotient of two integers, rounded to four places. An engine may give a quotient only four
    places more than its dividend, and cut off the rest: the dividend has four, so that what is
    rounded has eight. -#}
{% macro ratio(dividend, divisor) -%}
    cast(
        cast({{ dividend }} as decimal(28, 4)) / cast({{ divisor }} as decimal(18, 0))
        as decimal(18, 4)
    )
{%- endmacro %}
