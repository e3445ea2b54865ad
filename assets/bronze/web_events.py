"""Events of the web shop, as received."""

from assets.bronze.event import events_of

web_events = events_of("web.events")
