{#- All checks of a table's contract in one pass over the rows of this build; one row a check that
    some rows fail. Older rows passed when they were built. -#}
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
    where _seq >= {{ var('build') }}
)
group by name
{% endtest %}
