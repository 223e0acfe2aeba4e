"""Uploads to the Hugging Face Hub: weights, model card, Space."""
