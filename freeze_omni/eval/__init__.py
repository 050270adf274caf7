"""Scoring: word errors, answers, turn taking, latency, and the record of how each number was made."""
