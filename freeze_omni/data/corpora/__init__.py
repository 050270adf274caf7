"""Readers of published corpora: each in exactly the folders and files in which it is published."""
