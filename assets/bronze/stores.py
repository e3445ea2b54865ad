"""Changes of the order database's stores, as received."""

from assets.bronze.change_event import changes_of

stores = changes_of("stores")
