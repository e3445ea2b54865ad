"""Events of the mobile app: what its visitors do."""

from assets.bronze.mobile_events import mobile_events as bronze_mobile_events
from assets.silver.click_event import clicks

mobile_events = clicks("mobile_events", bronze_mobile_events)
