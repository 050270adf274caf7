"""`freeze-omni eval`: one test set, one packed model or one folder of another system's outputs, one table."""
