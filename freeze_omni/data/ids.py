"""The rule for ids: utterances, recordings, speakers, questions and sets name files, and stand in command lines."""

import re
from collections.abc import Iterable
from pathlib import Path

from freeze_omni.data.tables import TableError

LONGEST_BYTES = 200  # a file's name may have 255; ours add the speed, a digest, an ending and a process number
_USUAL = re.compile(r"[A-Za-z0-9_][!-.0-\[\]-~]{0,199}")  # ASCII without blank, / and \


def id_fault(key: str) -> str | None:
    """Why `key` cannot be an id, in words that are the same for all such ids; None if it can."""
    if _USUAL.fullmatch(key):
        return None
    if not key:
        return "the id is empty"
    if re.search(r"\s", key):
        return "a blank in the id"
    if "/" in key or "\\" in key:
        return "a slash in the id, which would lead to another folder"
    if key[0] in "-.":
        return f"the id begins with {key[0]}, as {'an option' if key[0] == '-' else 'a hidden file'} does"
    if not key.isprintable():
        return "an unprintable character in the id"
    return f"the id is longer than {LONGEST_BYTES} bytes" if len(key.encode()) > LONGEST_BYTES else None


def check_ids(keys: Iterable[str], where: str | Path) -> None:
    """Raises TableError for the first one that cannot be an id."""
    for key in keys:
        if fault := id_fault(key):
            raise TableError(f"{where}: {key!r}: {fault}; rename it, or run utils/fix_data_dir.sh, which leaves it out")
