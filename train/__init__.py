"""Training entry points (``python -m train.NAME --help``), corpus preparation, configs."""
