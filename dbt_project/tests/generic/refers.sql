{#- Each foreign key of the rows of this build has its row in the dimension. -#}
{% test refers(model, column_name, to, field) %}
select distinct f.{{ column_name }}
from {{ model }} as f
left join {{ to }} as d on f.{{ column_name }} = d.{{ field }}
where f._seq >= {{ var('build') }} and d.{{ field }} is null
{% endtest %}
