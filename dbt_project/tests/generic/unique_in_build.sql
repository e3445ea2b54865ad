{#- No two of the rows that have not passed before have the same key: a MERGE by key can double only
    rows that it inserts together. -#}
{% test unique_in_build(model, key) %}
select {{ key | join(', ') }}, count(*) as rows
from {{ model }}
where _seq > {{ tested(model) }}
group by {{ key | join(', ') }}
having count(*) > 1
{% endtest %}
