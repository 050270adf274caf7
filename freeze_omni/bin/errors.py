"""How commands end on a user's error: one line on standard error, and code 1."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import AudioError
from freeze_omni.data.tables import TableError

USER_ERRORS: tuple[type[Exception], ...] = (ConfigError, AudioError, TableError, FileNotFoundError, ImportError)


@contextmanager
def user_errors(*further: type[Exception], name: str = "") -> Iterator[None]:
    """Decorates a command; further: its other errors that a user can fix. name: default: that of the program."""
    try:
        yield
    except (*USER_ERRORS, *further) as error:
        sys.exit(f"{name or Path(sys.argv[0]).stem}: error: {error}")
