"""The simulated source systems: what happens in the order and rewards databases over time.

Belongs here: deterministic lives of customers, products, orders and members, and playing them into
the databases. Does not: the databases' tables (beside), reading them (the platform).

A life is a pure function of the seed, the entity and the simulated day: it does not depend on which
invoice files have landed, only its being known does. An entity that becomes known late is written
late, with its true times.
"""
