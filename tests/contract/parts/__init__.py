"""The streaming parts under the law. A file here holds `PARTS`: name -> its maker."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from tests.contract.law import Part


def every_part() -> dict[str, Callable[[], Part]]:
    """All parts of all files in this folder, by name."""
    found: dict[str, Callable[[], Part]] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"{__name__}.{module.name}").PARTS
    return found
