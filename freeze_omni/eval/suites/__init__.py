"""Public test suites: readers of their inputs, writers and checkers of the files that their own scorers read."""
