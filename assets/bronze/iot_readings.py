"""Readings of the devices in the stores, as received."""

from assets.bronze.event import events_of

iot_readings = events_of("iot.readings")
