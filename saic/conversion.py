"""One conversion."""
