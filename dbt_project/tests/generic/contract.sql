{#- All checks of a table's contract in one pass over the rows that have not passed before; one row a
    check that some rows fail. -#}
{% test contract(model, checks) %}
select
    name,
    count(*) as failing
from (
    select
        explode(
            filter(
                array(
                    {%- for check in checks %}
                    case when {{ check.failure }} then '{{ check.name }}' end
                    {%- if not loop.last %},{% endif %}
                    {%- endfor %}
                ),
                name -> name is not null
            )
        ) as name
    from {{ model }}
    where _seq > {{ tested(model) }}
)
group by name
{% endtest %}
