"""The trainable model: content encoder, speaker encoder, decoder."""
