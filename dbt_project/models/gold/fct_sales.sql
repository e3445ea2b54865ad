{{ config(unique_key=['sale_line_id'], partition_by='_month', appends=true) }}
{%- set dimensions = [
    (ref('dim_customer'), 'customer_id'), (ref('dim_geography'), 'country'),
] %}
{%- set store_dimensions = dimensions + [(ref('dim_store'), 'store_id')] %}
{%- set appending = only_appends() %}
{%- set new_events %}
select * from {{ source('silver', 'pos_events') }} where {{ new_to_this('silver.pos_events') }}
{%- endset %}
{%- set touched_events %}
    {{ touched_store_events() }}
    {%- for dimension, column in store_dimensions if advanced('gold.' ~ dimension.identifier) and not (from_scratch() or appending) %}
    union
    select l.event_id
    from ({{ store_lines('select * from ' ~ source('silver', 'pos_events')) }}) as l
    inner join {{ dimension }} as d
        on l.{{ column }} = d.{{ column }} and l.sold_at >= d.valid_from and l.sold_at < d.valid_to
    where d._interval_seq > {{ since('gold.' ~ dimension.identifier) }}
    {%- endfor %}
{%- endset %}
{%- set span = span_of(touched_events) %}

with
{%- if not appending %}
touched_lines as (
    select *
    from {{ source('silver', 'invoice_lines') }}
    where _seq > {{ since('silver.invoice_lines') }}
    {%- if not from_scratch() %}
    {%- for dimension, column in dimensions %}
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
),

touched_events as (
    {{ touched_events }}
),
{%- endif %}

store_lines as (
    select l.*
    from ({{ store_lines(new_events if appending else events_of('select event_id from touched_events', span)) }}) as l
    left anti join (
        select voids
        from {{ source('silver', 'pos_events') }}
        where type = 'void' and {{ within('voids', span) }}
    ) as v on l.event_id = v.voids
),

sales as (
    {%- if not appending %}
    select
        line_id as sale_line_id,
        'online' as channel,
        line_type,
        invoiced_at as sold_at,
        cast(null as timestamp) as sent_at,
        {{ unknown_key() }} as store_key,
        invoice_no,
        stock_code,
        customer_id,
        country,
        quantity,
        unit_price,
        cast(0 as decimal(18, 4)) as discount,
        net_amount,
        _month,
        _deleted or line_type not in ('sale', 'return') as _deleted,
        false as _new
    from touched_lines
    union all
    {%- endif %}
    select
        sale_line_id,
        'store' as channel,
        line_type,
        sold_at,
        sent_at,
        store_key,
        event_id as invoice_no,
        stock_code,
        customer_id,
        country,
        quantity,
        unit_price,
        discount,
        net_amount,
        _month,
        false as _deleted,
        {{ new_to_this('silver.pos_events') }} as _new
    from store_lines
    {%- if not from_scratch() and not appending %}
    union all
    -- What was sold by an event that is voided, or that has other lines now.
    select
        f.sale_line_id,
        f.channel,
        f.line_type,
        f.sold_at,
        f.sent_at,
        f.store_key,
        f.invoice_no,
        f.stock_code,
        f.customer_id,
        f.country,
        f.quantity,
        f.unit_price,
        f.discount,
        f.net_amount,
        f._month,
        true as _deleted,
        false as _new
    from {{ this }} as f
    left semi join touched_events as t on f.invoice_no = t.event_id
    left anti join store_lines as l on f.sale_line_id = l.sale_line_id
    where f.channel = 'store' and {{ within('f.invoice_no', span) }}
    {%- endif %}
)

select
    l.sale_line_id,
    l.channel,
    l.line_type,
    l.sold_at,
    l.sent_at,
    {{ date_key('l.sold_at') }} as date_key,
    coalesce(c.customer_key, {{ unknown_key() }}) as customer_key,
    coalesce(p.product_key, {{ unknown_key() }}) as product_key,
    coalesce(g.geography_key, {{ unknown_key() }}) as geography_key,
    l.store_key,
    l.invoice_no,
    l.stock_code,
    l.customer_id,
    l.country,
    l.quantity,
    l.unit_price,
    l.discount,
    l.net_amount,
    l._month,
    l._deleted,
    l._new
from sales as l
left join {{ ref('dim_customer') }} as c
    on l.customer_id = c.customer_id and l.sold_at >= c.valid_from and l.sold_at < c.valid_to
left join {{ ref('dim_product') }} as p on l.stock_code = p.stock_code
left join {{ ref('dim_geography') }} as g
    on l.country = g.country and l.sold_at >= g.valid_from and l.sold_at < g.valid_to
