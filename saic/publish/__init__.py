"""Upload weights, their model card and a Space to the Hugging Face Hub."""
