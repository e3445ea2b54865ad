"""Changes of the order database's orders, as received."""

from assets.bronze.change_event import changes_of

orders = changes_of("orders")
