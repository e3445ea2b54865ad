"""Stream: windows, sessions, alerts and anomalies, kept up with events; one module a table.

Belongs here: what a row is, over which windows or patterns, and its query. Does not: how rows are
kept up with events (`aquifer`).
"""
