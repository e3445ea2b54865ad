"""Verdicts on events of the tills: what investigations find, minutes after the event.

Belongs here: the labels of what happened at the tills. Does not: scores of models, which guess at
them before.
"""

from datetime import timedelta

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table
from aquifer.silver_events import events
from assets.bronze.pos_verdicts import pos_verdicts as bronze_pos_verdicts


class PosVerdict(Contract):
    """Whether one event of the tills was fraud."""

    verdict_id: str = Key(description="identifies the verdict; grows with time (UUIDv7)")
    event_id: str = Field(
        str_length={"min_value": 1}, description="the event of the tills that it is on"
    )
    decided_at: Timestamp = Field(description="instant of the decision, UTC")
    sent_at: Timestamp = Field(description="instant at which the verdict was to be sent, UTC")
    is_fraud: bool = Field(description="whether it was fraud; else the event was genuine")
    pattern: str | None = Field(description="kind of fraud; null when genuine")

    class Config:
        metadata = table(
            owner="team:sales",
            grain="a verdict on an event of the tills",
            fresh_within=hours(26),
            partition_by="decided_at",
            quarantine_share=0.05,
            rules={"fraud_has_pattern": "is_fraud = (pattern is not null)"},
        )


pos_verdicts = events(
    "pos_verdicts", PosVerdict, reads=bronze_pos_verdicts, every=timedelta(seconds=2)
)
