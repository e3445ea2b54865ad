{#- What is new: the highest `_seq` of an upstream table that this model has taken in. -#}
{% macro since(upstream) -%}
    {%- if flags.FULL_REFRESH -%}-1
    {%- else -%}{{ var('progress').get(this.identifier, {}).get(upstream, -1) }}
    {%- endif -%}
{%- endmacro %}

{#- Whether the model looks at everything, as it does when it is new. -#}
{% macro from_scratch() -%}
    {{ return(flags.FULL_REFRESH or not var('progress').get(this.identifier)) }}
{%- endmacro %}

{#- The values of a query's only column as the inside of an SQL list, read when the model runs:
    an engine prunes by literals only. -#}
{% macro literals(query) -%}
    {%- set values = run_query(query).columns[0].values() | reject('none') | list if execute else [] -%}
    {%- for value in values -%}'{{ value }}'{% if not loop.last %}, {% endif %}{%- endfor -%}
    {%- if not values -%}''{%- endif -%}
{%- endmacro %}
