"""Measures of serving: throughput, memory, the admission limit, faults, the official client."""
