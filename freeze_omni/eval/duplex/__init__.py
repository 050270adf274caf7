"""Scripted scenes of two voices: composed, played to a system that may speak at any time, measured from its sound."""
