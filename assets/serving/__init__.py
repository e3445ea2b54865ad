"""Serving: tables that queries see, merged from batch and speed layer; one module a table.

Belongs here: which batch table and which events a table is merged from. Does not: how (`aquifer`).
"""
