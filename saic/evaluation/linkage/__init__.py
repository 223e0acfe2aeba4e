"""Linkage attacks: how well converted recordings of one speaker can be told from those of others."""
