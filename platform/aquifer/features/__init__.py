"""The feature store: what entities were like at the end of each day, for models.

The words are Feast's: an entity has features, which a feature view computes; `point_in_time` joins
them to the instants that a model learns from, and the online store has the latest of each entity.

Belongs here: computing, joining and looking up features. Does not: which features there are
(`assets.features`), and models (`aquifer.models`).
"""
