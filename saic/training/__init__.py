"""Two-stage training (paper 3.1): latent optimization, then amortised encoders."""
