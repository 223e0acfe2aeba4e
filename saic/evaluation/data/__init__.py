"""The audio that an evaluation uses."""
