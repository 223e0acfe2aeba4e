"""Corpus preparation, configs and training entry points on top of :mod:`saic`."""
