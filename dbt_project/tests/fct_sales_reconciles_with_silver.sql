{{ config(meta={'dagster': {'ref': {'name': 'fct_sales'}}}) }}
-- Not a line more or less than silver's sales and returns, and not a penny: in every month of which
-- silver has lines that have not passed before.
{%- set months -%}
    select distinct _month
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ tested(ref('fct_sales'), 'silver.invoice_lines') }}
{%- endset %}

with gold as (
    select
        _month,
        count(*) as lines,
        sum(net_amount) as net
    from {{ ref('fct_sales') }}
    where channel = 'online' and _month in ({{ literals(months) }})
    group by _month
),

silver as (
    select
        _month,
        count(*) as lines,
        sum(net_amount) as net
    from {{ ref('stg_invoice_lines') }}
    where line_type in ('sale', 'return') and _month in ({{ literals(months) }})
    group by _month
)

select *
from gold
full outer join silver on gold._month = silver._month
where
    not (gold.lines <=> silver.lines and gold.net <=> silver.net)
    -- What silver has taken in since the build began is for the next build to judge.
    and not exists (
        select 1
        from {{ source('silver', 'invoice_lines') }}
        where _seq > {{ seen('silver.invoice_lines') }}
    )
