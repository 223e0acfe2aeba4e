"""Pretrained networks that evaluate outputs. None of them trains a model of this project."""
