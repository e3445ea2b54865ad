"""Changes of the order database's customers, as received."""

from assets.bronze.change_event import changes_of

customers = changes_of("customers")
