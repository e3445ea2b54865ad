"""Alerts of the stores: what looks like fraud, or spoils the goods."""

from aquifer.cep import Pattern
from aquifer.cep_absence import Absence
from aquifer.cep_sequence import Repeated
from aquifer.cep_sustained import Sustained
from aquifer.contract import (
    Contract,
    Field,
    Key,
    Timestamp,
    days,
    hours,
    minutes,
    pii,
    seconds,
    table,
)
from aquifer.event_source import EventSource
from aquifer.stream_alerts import alerts as alert_table
from assets.silver.iot_readings import iot_readings
from assets.stream.tills import LINES, TILLS


class Alert(Contract):
    """One match of a pattern in the events of a store."""

    alert_id: str = Key(description="hash of the rule, the key and the events that matched")
    rule: str = Field(
        isin=["repeated_voids", "return_without_sale", "warm_freezer"], description="the pattern"
    )
    key: str = Field(
        metadata=pii("customer"), description="cashier; store and stock code; or device"
    )
    store_id: str = Field(description="the store")
    first_at: Timestamp = Field(description="instant of the first event that matched, UTC")
    last_at: Timestamp = Field(description="instant of the event that completed the match, UTC")
    event_ids: list[str] = Field(description="events that matched: the first and the last at least")
    details: str = Field(description="what was found")
    raised_at: Timestamp = Field(description="instant at which the alert was raised, UTC")
    retracted_at: Timestamp | None = Field(
        description="instant at which later events undid it, UTC; null while it stands"
    )

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a match of a pattern",
            fresh_within=hours(26),
            partition_by="last_at",
        )


@alert_table(Alert, every=seconds(30))
def alerts() -> list[Pattern]:
    return [
        Repeated(
            "repeated_voids",
            TILLS,
            by=["cashier_id"],
            of="type = 'void'",
            times=3,
            within=minutes(10),
            details="'three voids within 10 minutes'",
        ),
        Absence(
            "return_without_sale",
            TILLS,
            over=LINES,
            by=["store_id", "sku"],
            of="type = 'return'",
            without="type = 'sale'",
            within=days(30),
            details="concat('no sale of ', sku, ' in the store in 30 days')",
        ),
        Sustained(
            "warm_freezer",
            EventSource(iot_readings),
            by=["device_id"],
            of="type = 'temperature' and value > -15",
            ends="type = 'temperature' and value <= -15",
            unless="type = 'door' and value = 0",
            lasting=minutes(5),
            details="concat(cast(value as string), ' C after 5 minutes, and no door closed')",
        ),
    ]
