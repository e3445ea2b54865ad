"""The life of a model: trained, gated, registered, promoted, scored, watched and taken back.

Belongs here: what all models share. Does not: which models there are (`assets.models`), and their
features (`aquifer.features`).
"""
