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
  it was recorded. Only what changes is merged. A build that only appends (the variable `appending`) selects
  nothing else, and inserts it as it is selected.
-#}
{% materialization incremental, adapter='spark' %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set staged = this.incorporate(path={'identifier': this.identifier ~ '__staged'}) -%}
    {{ run_hooks(pre_hooks) }}
    {%- if var('appending') -%}
        {%- call statement('main') -%} {{ insert_rows(relation, sql) }} {%- endcall -%}
    {%- else -%}
        {{ stage_and_merge(relation, staged, sql) }}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{% macro stage_and_merge(relation, staged, sql) %}
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
{% endmacro %}

{% macro insert_rows(relation, rows) -%}
    {%- set columns = written_columns() | join(', ') -%}
    insert into {{ relation }} ({{ columns }}, _seq)
    select {{ columns }}, {{ var('build') }} from ({{ rows }})
{%- endmacro %}

{#- The columns that a build writes, but for `_seq`. -#}
{% macro written_columns() -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set partition = config.get('partition_by') -%}
    {{ return(columns + config.get('technical', []) + ([partition] if partition and partition not in columns else [])) }}
{%- endmacro %}

{% macro append_rows(relation, staged) %}
    {%- set key = config.require('unique_key')[0] -%}
    {%- call statement('main') -%}
        {{ insert_rows(relation, 'select * from ' ~ staged ~ ' where _new and not _deleted') }}
    {%- endcall -%}
    {%- set others -%} (select * from {{ staged }} where not _new) {%- endset -%}
    {%- set least, greatest = run_query("select min(" ~ key ~ "), max(" ~ key ~ ") from " ~ others).rows[0].values() -%}
    {%- if least is not none -%}
        {%- call statement('merge') -%} {{ merge_rows(relation, others, (least, greatest)) }} {%- endcall -%}
    {%- endif -%}
{% endmacro %}

{#- MERGE of staged rows. A span of the first key, as literals, spares files without any. -#}
{% macro merge_rows(relation, staged, span=none) %}
    {%- set key = config.require('unique_key') -%}
    {%- set partition = config.get('partition_by') -%}
    {%- set extra = config.get('technical', []) -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- set inserted = written_columns() -%}
    {%- set values = columns | reject('in', key) | list -%}
    merge into {{ relation }} as t using {{ staged }} as s
    on {% for column in key %}t.{{ column }} = s.{{ column }} and {% endfor %}
    {%- if span %} {{ within('t.' ~ key[0], span) }} and {% endif %}
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
