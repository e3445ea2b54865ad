"""The mechanism of the platform: contracts, the lake, exactly-once batches and the asset builders.

Belongs here: what knows Dagster, Delta and Spark. Does not: anything of retail (`assets`), or of a
particular source, server or environment (`resources`).
"""
