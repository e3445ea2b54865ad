"""Live events: tills, web shop, apps and store sensors, sent open loop at a set rate.

Belongs here: what happens in the stores and the shop, what goes wrong on the way, and when each
event is sent. Does not: the event log that takes them, and what the platform makes of them.

The stream is a pure function of seed, start, rate, topics, fraud and catalogue: the event of each
slot is computed from the slot's own number, whichever slices are asked for, and in whichever order.
"""
