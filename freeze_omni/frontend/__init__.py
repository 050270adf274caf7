"""From samples to normalised features, and the VAD gate before them."""
