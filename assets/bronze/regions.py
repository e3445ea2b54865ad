"""Changes of the order database's sales regions, as received."""

from assets.bronze.change_event import changes_of

regions = changes_of("regions")
