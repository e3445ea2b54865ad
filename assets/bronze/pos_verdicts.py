"""Verdicts on events of the tills, as received."""

from assets.bronze.event import events_of

pos_verdicts = events_of("pos.verdicts")
