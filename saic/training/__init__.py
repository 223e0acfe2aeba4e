"""Training of the model in two stages (paper 3.1), of the vocoder, and of the feature networks."""
