"""Kaldi tables, audio, synthesis, questions, dialogues and duplex scenes: what training reads."""
