"""Stage 11: what the model makes of the test sets, written to folders that can be continued."""
