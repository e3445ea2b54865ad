"""Bronze: what the sources delivered, as received; one append-only table a source entity.

Belongs here: which source fills a table. Does not: any reading of the values (silver).
"""
