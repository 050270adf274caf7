"""The published checkpoints: their layout read into our parts, and written from them."""
