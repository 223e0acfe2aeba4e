"""Which recordings a corpus holds, and who speaks in them."""
