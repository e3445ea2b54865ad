"""Keys that no source may use."""

RESERVED = ["unknown"]
"""Gold's members for what is not known."""
