"""Signal processing on waveforms and log-mels, without trained weights."""
