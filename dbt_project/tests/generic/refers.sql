{#- Each foreign key of the rows that have not passed before has its row in the dimension. -#}
{% test refers(model, column_name, to, field) %}
select distinct f.{{ column_name }}
from {{ model }} as f
left join {{ to }} as d on f.{{ column_name }} = d.{{ field }}
where f._seq > {{ tested(model) }} and d.{{ field }} is null
{% endtest %}
