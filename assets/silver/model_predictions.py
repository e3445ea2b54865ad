"""Predictions that were asked for: by the model service, beside it in its shadow, and on the edge.

Belongs here: what a prediction was made of, and what came of it. Does not: the predictions of whole
tables (`predictions.*`), and what became true.
"""

from datetime import timedelta

from aquifer.contract import Contract, Field, Key, Timestamp, hours, pii, table
from aquifer.silver_events import events
from assets.bronze.model_predictions import model_predictions as bronze_model_predictions


class ModelPrediction(Contract):
    """What a version of a model said of an entity."""

    event_id: str = Key(description="identifies the prediction; grows with time (UUIDv7)")
    event_time: Timestamp = Field(description="instant at which it was made, UTC")
    model: str = Field(str_length={"min_value": 1}, description="name of the model")
    model_version: str = Field(
        str_length={"min_value": 1}, description="version of the model, as in the registry"
    )
    served_by: str = Field(
        isin=["service", "shadow", "edge"],
        description="service or edge, which answer; shadow: the challenger's, which nobody saw",
    )
    shadows: str | None = Field(description="`event_id` of the answer that a shadow is beside")
    entity: str | None = Field(
        metadata=pii("record"),
        description="whom it is about, a JSON object; null when features alone were given",
    )
    features_at: Timestamp | None = Field(
        description="instant at which features from the online store held; null when none is"
    )
    inputs: str = Field(
        str_length={"min_value": 2}, description="value of each input, a JSON object by name"
    )
    outputs: str = Field(
        str_length={"min_value": 2}, description="what was predicted, a JSON object by name"
    )

    class Config:
        metadata = table(
            owner="team:ml",
            grain="a prediction",
            fresh_within=hours(26),
            partition_by="event_time",
            rules={"shadow_names_answer": "served_by <> 'shadow' or shadows is not null"},
        )


model_predictions = events(
    "model_predictions",
    ModelPrediction,
    reads=bronze_model_predictions,
    every=timedelta(seconds=2),
)
