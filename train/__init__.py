"""Training entry points (``python -m train.NAME --help``), corpus preparation, configs."""

from saic import caches

caches.move_if_home_is_read_only()  # here, since the entry points import matplotlib and others at once
