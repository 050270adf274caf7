"""Run a command's `main` in this process as the shell would."""

from __future__ import annotations

import sys
from collections.abc import Callable


def exit_code(main: Callable[[list[str]], object], words: list[str]) -> int:
    """The exit code; an error's line goes to standard error, as the interpreter prints it."""
    try:
        main(words)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0
