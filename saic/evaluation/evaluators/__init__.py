"""Pretrained networks that evaluate outputs. None of them is used in training."""
