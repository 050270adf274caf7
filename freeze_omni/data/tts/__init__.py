"""Synthesis for training data: voices by name, spoken in parallel, each sentence paid for once."""
