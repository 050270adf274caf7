"""From samples to normalised features, and the gate in front of them."""
