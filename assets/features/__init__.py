"""Features: what customers, products, tills and cards were like at the end of each day.

Belongs here: one module a feature view. Does not: models (`assets.models`).
"""
