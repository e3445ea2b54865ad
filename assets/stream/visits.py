"""The shops as stream tables see them: what visitors do on the web and in the app."""

from aquifer.event_source import EventSource
from assets.silver.mobile_events import mobile_events
from assets.silver.web_events import web_events

VISITS = {"web": EventSource(web_events), "mobile": EventSource(mobile_events)}
