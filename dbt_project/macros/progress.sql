{#- What is new: the highest `_seq` of an upstream table that this model has taken in. -#}
{% macro since(upstream) -%}
    {%- if flags.FULL_REFRESH -%}-1
    {%- else -%}{{ var('progress').get(this.identifier, {}).get(upstream, -1) }}
    {%- endif -%}
{%- endmacro %}

{#- The highest `_seq` of an upstream table of which this model has all new rows; builds that only
    append are ahead of what the model has taken in whole. -#}
{% macro appended(upstream) -%}
    {%- if flags.FULL_REFRESH -%}-1
    {%- else -%}{{ var('appended').get(this.identifier, {}).get(upstream, -1) }}
    {%- endif -%}
{%- endmacro %}

{#- Whether this build appends what is new, and leaves all else to a whole one. -#}
{% macro only_appends() -%}
    {{ return(var('appending')) }}
{%- endmacro %}

{#- SQL that a row of an upstream table is new to this model. -#}
{% macro new_to_this(upstream) -%}
    _first_seq > {{ appended(upstream) }} and _first_seq <= {{ seen(upstream) }}
{%- endmacro %}

{#- Whether an upstream table has something that this model has not taken in. -#}
{% macro advanced(upstream) -%}
    {{ return(seen(upstream) | int > since(upstream) | int) }}
{%- endmacro %}

{#- Whether the model looks at everything, as it does when it is new. -#}
{% macro from_scratch() -%}
    {{ return(flags.FULL_REFRESH or not var('progress').get(this.identifier)) }}
{%- endmacro %}

{#- SQL that a `_seq` of an upstream table is among those that this build takes in. What comes in while
    it runs is for the next one: it would be appended twice. -#}
{% macro taken_in_by_this(upstream, column) -%}
    {{ column }} > {{ since(upstream) }} and {{ column }} <= {{ seen(upstream) }}
{%- endmacro %}

{#- The values of a query's only column as the inside of an SQL list, which is never empty, read when
    the model runs: an engine prunes by literals only. -#}
{% macro literals(query) -%}
    {%- set values = run_query(query).columns[0].values() | reject('none') | list if execute else [] -%}
    {%- for value in values -%}{{ quoted(value) }}{% if not loop.last %}, {% endif %}{%- endfor -%}
    {%- if not values -%}''{%- endif -%}
{%- endmacro %}

{#- A value as an SQL literal that engines take for nothing else: Spark replaces ${name} by a setting
    before it parses, within quotes too. -#}
{% macro quoted(value) -%}
    '{{ value | string | replace("\\", "\\\\") | replace("'", "\\'") | replace("${", "\\u0024{") }}'
{%- endmacro %}

{#- The `_seq` up to which all tests of a table have passed. Rows that failed, or whose tests a crash
    has prevented, are above it until they pass: a test that fails goes on failing. With an upstream
    table, the `_seq` of that one up to which they have. A full refresh is tested whole, of a build
    that only appends its own rows. -#}
{% macro tested(relation, upstream=none) -%}
    {%- if flags.FULL_REFRESH -%}-1
    {%- elif only_appends() -%}{{ var('build') - 1 }}
    {%- else -%}
        {{ var('tested').get(relation.identifier, {}).get(upstream or 'gold.' ~ relation.identifier, -1) }}
    {%- endif -%}
{%- endmacro %}

{#- The highest `_seq` of an upstream table when the build began; of one that is built with this one,
    the build. -#}
{% macro seen(upstream) -%}
    {{ var('seen').get(upstream, 9223372036854775807) }}
{%- endmacro %}
