"""Duplex: which state each chunk has, and the head that predicts it."""
