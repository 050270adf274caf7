"""Freeze-Omni: a frozen text LLM that listens and speaks."""
