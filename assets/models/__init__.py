"""Models: what each is to predict, from which features, and how good it has to be.

Belongs here: one module a model. Does not: how models live (`aquifer.models`).
"""
