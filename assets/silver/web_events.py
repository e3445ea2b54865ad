"""Events of the web shop: what its visitors do."""

from aquifer.silver_events import events
from assets.bronze.web_events import web_events as bronze_web_events
from assets.silver.click_event import CUSTOMER, ClickEvent

web_events = events("web_events", ClickEvent, reads=bronze_web_events, customer_id=CUSTOMER)
