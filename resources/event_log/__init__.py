"""Event logs: the embedded one on SQLite and Kafka, behind `aquifer.eventlog.EventLog`.

Belongs here: the two logs, what they share, which of them a URL names, the platform's topics. Does
not: what an event means (`assets`).
"""
