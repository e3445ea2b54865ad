"""Silver: cleaned, typed, deduplicated; one module a table, with its contract and its query.

Belongs here: what a row is and when it is refused. Does not: joins across tables (gold).
"""
