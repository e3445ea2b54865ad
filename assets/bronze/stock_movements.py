"""Changes of the order database's stock movements, as received."""

from assets.bronze.change_event import changes_of

stock_movements = changes_of("stock_movements")
