{#- The key of each row of this build stands once in the table. -#}
{% test unique_in_build(model, key) %}
select {{ key | join(', ') }}, count(*) as rows
from {{ model }}
where _seq >= {{ var('build') }}
group by {{ key | join(', ') }}
having count(*) > 1
{% endtest %}
