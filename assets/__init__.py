"""The domain: what Aquifer's tables are, one module a table, by layer. It reads like a catalogue.

Belongs here: contracts and the queries that make the tables. Does not: how tables are written,
checked and run (`aquifer`), and where the sources are (`resources`).
"""
