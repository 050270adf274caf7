"""Kaldi tables, audio, corpora, questions and synthesis: what training reads."""
