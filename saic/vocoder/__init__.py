"""Log-mel and F0 to waveform."""
