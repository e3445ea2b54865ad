"""Events of the mobile app: what its visitors do."""

from aquifer.silver_events import events
from assets.bronze.mobile_events import mobile_events as bronze_mobile_events
from assets.silver.click_event import CUSTOMER, ClickEvent

mobile_events = events(
    "mobile_events", ClickEvent, reads=bronze_mobile_events, customer_id=CUSTOMER
)
