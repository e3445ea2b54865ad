"""The outside world: the engine, the lake, the source systems and their simulation, by environment.

Belongs here: connections, their settings and URLs, one wiring per environment. Does not: tables
(`assets`) and mechanism (`aquifer`).
"""
