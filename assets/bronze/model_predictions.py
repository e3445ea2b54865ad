"""Predictions of the model service and of edge devices, as received."""

from assets.bronze.event import events_of

model_predictions = events_of("model.predictions")
