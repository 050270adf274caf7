"""Adapters: from encoder frames to positions of the LLM's input (paper section 3.1)."""
