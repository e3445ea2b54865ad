"""Events of the web shop: what its visitors do."""

from assets.bronze.web_events import web_events as bronze_web_events
from assets.silver.click_event import clicks

web_events = clicks("web_events", bronze_web_events)
