{{ config(meta={'dagster': {'ref': {'name': 'fct_sales'}}}) }}
-- Not a line more or less than silver's sales and returns, and not a penny.
select *
from (
    select
        (select count(*) from {{ ref('fct_sales') }} where channel = 'online') as gold_lines,
        (select sum(net_amount) from {{ ref('fct_sales') }} where channel = 'online') as gold_net,
        count(*) as silver_lines,
        sum(net_amount) as silver_net
    from {{ ref('stg_invoice_lines') }}
    where line_type in ('sale', 'return')
)
where
    (gold_lines <> silver_lines or not gold_net <=> silver_net)
    -- What silver has taken in since the build began is for the next build to judge.
    and not exists (
        select 1
        from {{ source('silver', 'invoice_lines') }}
        where _seq > {{ seen('silver.invoice_lines') }}
    )
