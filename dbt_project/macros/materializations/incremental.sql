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
  it was recorded, and so are others that it does not hold. Of the rest those that change are
  replaced. A build that only appends (the variable `appending`) selects nothing else, and inserts it
  as it is selected.
-#}
{% materialization incremental, adapter='spark' %}
    {%- set relation = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks) }}
    {%- if only_appends() -%}
        {%- call statement('main') -%} {{ insert_rows(relation, sql) }} {%- endcall -%}
    {%- else -%}
        {{ stage_and_merge(relation, sql) }}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

{% macro stage_and_merge(relation, sql) %}
    {%- set staged = stage('staged', sql) -%}
    {%- if config.get('appends') and this.identifier in var('settled') and not flags.FULL_REFRESH -%}
        {{ append_rows(relation, staged) }}
    {%- else -%}
        {%- call statement('main') -%} {{ merge_rows(relation, staged) }} {%- endcall -%}
    {%- endif -%}
    {%- call statement('unstage') %} drop table {{ staged }} {% endcall -%}
{% endmacro %}

{#- A table of a query's rows, in a folder of their own; drop it when it has served. -#}
{% macro stage(name, query) %}
    {%- set staged = this.incorporate(path={'identifier': this.identifier ~ '__' ~ name}) -%}
    {%- call statement('unstage') %} drop table if exists {{ staged }} {% endcall -%}
    {%- call statement('stage') -%}
        create table {{ staged }} using parquet
        location '{{ var("staging") }}/{{ staged.identifier }}' as {{ query }}
    {%- endcall -%}
    {{ return(staged) }}
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
    {%- set others -%} (select * from {{ staged }} where not _new) {%- endset -%}
    {%- set span = span_of('select * from ' ~ others, key) -%}
    {%- set held -%} (select * from {{ relation }} where {{ place_of(others, key, span) }}) {%- endset -%}
    {%- call statement('main') -%}
        {{ insert_rows(relation, "select s.* from " ~ staged ~ " as s left anti join " ~ held ~ " as t on s." ~ key ~ " = t." ~ key ~ " where not s._deleted") }}
    {%- endcall -%}
    {%- if span[0] is not none -%}
        {{ replace_rows(relation, others, held, key) }}
    {%- endif -%}
{% endmacro %}

{#- SQL that a row `s` has another value than a row `t` in one of some columns. -#}
{% macro differ(columns) -%}
    not ({% for column in columns %}t.{{ column }} <=> s.{{ column }}{% if not loop.last %} and {% endif %}{% endfor %})
{%- endmacro %}

{#- Replace rows that are to go, or have other values, by deleting and inserting them: to update them
    in one MERGE takes twice as long. They are found first, as the fewer keys a MERGE has, the
    fewer files it writes anew. A build that is killed in between inserts them when it is repeated. -#}
{% macro replace_rows(relation, rows, held, key) %}
    {%- set values = model.columns.keys() | reject('equalto', key) | list -%}
    {%- set changed -%}
        select s.*
        from {{ rows }} as s inner join {{ held }} as t on s.{{ key }} = t.{{ key }}
        where s._deleted or {{ differ(values) }}
    {%- endset -%}
    {%- set replaced = stage('replaced', changed) -%}
    {%- set span = span_of('select * from ' ~ replaced, key) -%}
    {%- if span[0] is not none -%}
        {%- call statement('delete') -%}
            merge into {{ relation }} as t using {{ replaced }} as s
            on t.{{ key }} = s.{{ key }} and {{ place_of(replaced, key, span, 't.') }}
            when matched then delete
        {%- endcall -%}
        {%- call statement('replace') -%}
            {{ insert_rows(relation, "select * from " ~ replaced ~ " where not _deleted") }}
        {%- endcall -%}
    {%- endif -%}
    {%- call statement('unstage') %} drop table {{ replaced }} {% endcall -%}
{% endmacro %}

{#- SQL that is true where a table can hold some rows, by literals. -#}
{% macro place_of(rows, key, span, of='') -%}
    {%- set partition = config.require('partition_by') -%}
    {{ of }}{{ partition }} in ({{ literals("select distinct " ~ partition ~ " from " ~ rows) }})
    and {{ within(of ~ key, span) }}
{%- endmacro %}

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
    when matched and {{ differ(values) }} then update set
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
