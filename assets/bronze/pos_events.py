"""Events of the tills of the stores, as received."""

from assets.bronze.event import events_of

pos_events = events_of("pos.events")
