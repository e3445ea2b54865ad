"""Readings of the devices in the stores: freezers, doors, visitors, energy."""

from datetime import timedelta

from aquifer.contract import Contract, Field, Key, Timestamp, hours, table
from aquifer.silver_events import events
from assets.bronze.iot_readings import iot_readings as bronze_iot_readings


class IotReading(Contract):
    """One reading of a device."""

    event_id: str = Key(description="identifies the reading; grows with time (UUIDv7)")
    type: str = Field(
        isin=["temperature", "footfall", "energy", "door"],
        description="temperature, footfall, energy or door",
    )
    event_time: Timestamp = Field(description="instant by the device's clock, UTC")
    sent_at: Timestamp = Field(description="instant at which the event was to be sent, UTC")
    store_id: str = Field(str_length={"min_value": 1}, description="store of the device")
    device_id: str = Field(str_length={"min_value": 1}, description="the device")
    value: float = Field(description="what it measured; of a door 1 is open and 0 closed")
    unit: str | None = Field(description="unit of the value")

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a reading of a device",
            fresh_within=hours(26),
            partition_by="event_time",
            quarantine_share=0.05,
        )


iot_readings = events(
    "iot_readings", IotReading, reads=bronze_iot_readings, every=timedelta(seconds=2)
)
