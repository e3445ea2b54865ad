{#- Versions of a key follow each other without gap or overlap, and exactly the last is open. -#}
{% test one_version_at_a_time(model, natural_key) %}
select *
from (
    select
        {{ natural_key }},
        valid_from,
        valid_to,
        is_current,
        lag(valid_to) over (partition by {{ natural_key }} order by valid_from) as previous_to,
        lead(valid_from) over (partition by {{ natural_key }} order by valid_from) as next_from
    from {{ model }}
)
where
    valid_from >= valid_to
    or valid_from <> coalesce(previous_to, timestamp'1900-01-01 00:00:00')
    or is_current <> (next_from is null)
    or (next_from is null and valid_to <> timestamp'9999-12-31 00:00:00')
{% endtest %}
