"""Changes of the order database's order lines, as received."""

from assets.bronze.change_event import changes_of

order_lines = changes_of("order_lines")
