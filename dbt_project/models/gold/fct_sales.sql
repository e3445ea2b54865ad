{{ config(unique_key=['sale_line_id'], partition_by='_month') }}
{%- set changed_dimensions = [
    (ref('dim_customer'), 'customer_id'), (ref('dim_geography'), 'country'),
] %}

with touched as (
    select *
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }}
    {%- if not from_scratch() %}
    {%- for dimension, column in changed_dimensions %}
    {%- set changed -%}
        select * from {{ dimension }} where _interval_seq > {{ since('gold.' ~ dimension.identifier) }}
    {%- endset %}
    union
    -- What lies in a version that is new or has grown points elsewhere now.
    select l.*
    from {{ source('silver', 'invoice_lines') }} as l
    inner join ({{ changed }}) as d
        on l.{{ column }} = d.{{ column }} and l.invoiced_at >= d.valid_from and l.invoiced_at < d.valid_to
    where
        l._month >= {{ literals("select date_format(min(valid_from), 'yyyy-MM') from (" ~ changed ~ ")") }}
        and l._seq <= {{ since('silver.invoice_lines') }}
    {%- endfor %}
    {%- endif %}
)

select
    l.line_id as sale_line_id,
    'online' as channel,
    l.line_type,
    l.invoiced_at as sold_at,
    {{ date_key('l.invoiced_at') }} as date_key,
    coalesce(c.customer_key, {{ unknown_key() }}) as customer_key,
    coalesce(p.product_key, {{ unknown_key() }}) as product_key,
    coalesce(g.geography_key, {{ unknown_key() }}) as geography_key,
    {{ unknown_key() }} as store_key,
    l.invoice_no,
    l.stock_code,
    l.customer_id,
    l.country,
    l.quantity,
    l.unit_price,
    l.net_amount,
    l._month,
    l._deleted or l.line_type not in ('sale', 'return') as _deleted
from touched as l
left join {{ ref('dim_customer') }} as c
    on l.customer_id = c.customer_id and l.invoiced_at >= c.valid_from and l.invoiced_at < c.valid_to
left join {{ ref('dim_product') }} as p on l.stock_code = p.stock_code
left join {{ ref('dim_geography') }} as g
    on l.country = g.country and l.invoiced_at >= g.valid_from and l.invoiced_at < g.valid_to
