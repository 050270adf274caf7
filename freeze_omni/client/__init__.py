"""Talks to a running server: a small Realtime client, and what a terminal does with it."""
