"""One process works in a folder at a time."""

import fcntl
import os
import platform
from pathlib import Path
from typing import IO

from freeze_omni.config import ConfigError

_held: dict[str, IO[str]] = {}


def claim(folder: Path) -> None:
    """Keep `folder` for this process until it ends. Raises ConfigError that names another's process."""
    path = str(folder.resolve() / ".lock")
    if path in _held:
        return
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115, it stays open
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise ConfigError(f"{folder}: {owner} works in it; wait until it ends, or end it") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n")
    file.flush()
    _held[path] = file


def leave_claims() -> None:
    """In a forked process that only reads: the folders are free as soon as its parent has ended."""
    for file in _held.values():
        file.close()
    _held.clear()
