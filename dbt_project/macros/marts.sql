{#- The invoice lines that a mart has not seen, withdrawn ones included; from them come the groups
    that are made anew. Marts recompute groups and never add up. -#}
{% macro changed_lines(columns) %}
    select distinct {{ columns }}
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }} and line_type in ('sale', 'return')
{% endmacro %}

{#- Prunes fct_sales to the months in which groups changed. -#}
{% macro in_changed_months(alias) -%}
    {%- if from_scratch() -%}true
    {%- else -%}{{ alias }}._month in ({{ literals(changed_lines('_month')) }})
    {%- endif -%}
{%- endmacro %}
