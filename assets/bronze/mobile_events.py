"""Events of the mobile app, as received."""

from assets.bronze.event import events_of

mobile_events = events_of("mobile.events")
