"""Ablations: rows of one table, each a trained system that differs from another one in a few configuration keys."""
