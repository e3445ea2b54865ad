"""Gold: the contracts of the star schema and its marts; the queries are in `dbt_project`.

Belongs here: what a gold table promises, one module a table. Does not: how it is made.
"""
