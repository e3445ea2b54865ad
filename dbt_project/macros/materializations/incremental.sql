{#-
  The incremental materialization: MERGE of the changed rows into a table that exists.

  The platform creates each table from its contract before dbt runs, so that nothing is inferred
  from a query. A model selects the rows that may have changed, with `_deleted` true for those that
  are no more. Rows that stay the same are not written, so that what is downstream has nothing to do.
  A full refresh merges all rows and deletes what the model no longer yields, in one commit.

  The rows are written to a Parquet folder below the variable `staging` first: a MERGE evaluates its
  source twice, and the partitions that it touches are read from it as literals.

  A model that `appends` marks as `_new` the rows of keys that no build before can have written. They
  are inserted without a look at the table, unless it holds rows of a build that was killed before
  it was recorded. What else is to go is deleted by its keys as literals, by which engines find the
  files; only what changes is merged.
-#}
{% materialization incremental, adapter='spark' %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set staged = this.incorporate(path={'identifier': this.identifier ~ '__staged'}) -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement('unstage') %} drop table if exists {{ staged }} {% endcall -%}
    {%- call statement('stage') -%}
        create table {{ staged }} using parquet
        location '{{ var("staging") }}/{{ this.identifier }}' as {{ sql }}
    {%- endcall -%}
    {%- if config.get('appends') and this.identifier in var('settled') and not flags.FULL_REFRESH -%}
        {{ append_rows(relation, staged) }}
    {%- else -%}
        {%- call statement('main') -%} {{ merge_rows(relation, staged) }} {%- endcall -%}
    {%- endif -%}
    {%- call statement('unstage') %} drop table {{ staged }} {% endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{#- The columns that a build writes, but for `_seq`. -#}
{% macro written_columns() -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set partition = config.get('partition_by') -%}
    {{ return(columns + config.get('technical', []) + ([partition] if partition and partition not in columns else [])) }}
{%- endmacro %}

{% macro append_rows(relation, staged) %}
    {%- set key, partition = config.require('unique_key')[0], config.require('partition_by') -%}
    {%- set columns = written_columns() | join(', ') -%}
    {%- call statement('main') -%}
        insert into {{ relation }} ({{ columns }}, _seq)
        select {{ columns }}, {{ var('build') }} from {{ staged }} where _new and not _deleted
    {%- endcall -%}
    {%- set gone, changed = run_query(
        "select count_if(_deleted), count_if(not _deleted) from " ~ staged ~ " where not _new"
    ).rows[0].values() -%}
    {%- if changed or gone > 1000 -%}
        {%- set others -%} (select * from {{ staged }} where not _new) {%- endset -%}
        {%- call statement('merge') -%} {{ merge_rows(relation, others) }} {%- endcall -%}
    {%- elif gone -%}
        {%- call statement('delete') -%}
            delete from {{ relation }}
            where {{ partition }} in ({{ literals("select distinct " ~ partition ~ " from " ~ staged ~ " where not _new") }})
                and {{ key }} in ({{ literals("select " ~ key ~ " from " ~ staged ~ " where not _new") }})
        {%- endcall -%}
    {%- endif -%}
{% endmacro %}

{% macro merge_rows(relation, staged) %}
    {%- set key = config.require('unique_key') -%}
    {%- set partition = config.get('partition_by') -%}
    {%- set extra = config.get('technical', []) -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set inserted = written_columns() -%}
    {%- set values = columns | reject('in', key) | list -%}
    merge into {{ relation }} as t using {{ staged }} as s
    on {% for column in key %}t.{{ column }} = s.{{ column }} and {% endfor %}
    {%- if partition and not flags.FULL_REFRESH %} t.{{ partition }} in
        ({{ literals("select distinct cast(" ~ partition ~ " as string) from " ~ staged) }})
    {%- else %} true {%- endif %}
    when matched and s._deleted then delete
    when matched and not (
        {%- for column in values %}t.{{ column }} <=> s.{{ column }}{% if not loop.last %} and {% endif %}{% endfor -%}
    ) then update set
        {%- for column in values %} {{ column }} = s.{{ column }},{% endfor %}
        {%- if '_interval_seq' in extra %} _interval_seq =
            case when s.valid_to > t.valid_to then s._interval_seq else t._interval_seq end,{% endif %}
        _seq = {{ var('build') }}
    when not matched and not s._deleted then insert ({{ inserted | join(', ') }}, _seq)
        values (
            {%- for column in inserted %}
            {%- if column == '_interval_seq' %} {{ interval_seq_of_new() }}
            {%- else %} s.{{ column }}
            {%- endif %},
            {%- endfor %} {{ var('build') }})
    {%- if flags.FULL_REFRESH %}
    when not matched by source then delete
    {%- endif %}
{% endmacro %}
