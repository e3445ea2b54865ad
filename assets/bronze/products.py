"""Changes of the order database's products, as received."""

from assets.bronze.change_event import changes_of

products = changes_of("products")
