{#- The invoice lines that a mart has not seen, withdrawn ones included; from them come the groups
    that are made anew. Marts recompute groups and never add up. -#}
{% macro changed_lines(columns) %}
    select distinct {{ columns }}
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }} and line_type in ('sale', 'return')
{% endmacro %}

{#- Prunes fct_sales to the months of the groups that a query gives, by an instant or a day. -#}
{% macro in_months_of(alias, instant, groups) -%}
    {%- if from_scratch() -%}true
    {%- else -%}{{ alias }}._month in ({{ literals("select distinct date_format(" ~ instant ~ ", 'yyyy-MM') from (" ~ groups ~ ")") }})
    {%- endif -%}
{%- endmacro %}
