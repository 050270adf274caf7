"""Freeze-Omni: a frozen text LLM that listens and speaks."""

from __future__ import annotations

import importlib
from typing import Any

from freeze_omni import moved

_HOMES = {
    "load": "freeze_omni.pack",
    "FreezeOmni": "freeze_omni.system",
    "SystemConfig": "freeze_omni.system",
    "SpeechSession": "freeze_omni.session.session",
    "SessionConfig": "freeze_omni.session.session",
}
__all__ = list(_HOMES)
moved.install()


def __getattr__(name: str) -> Any:
    """The public names, imported when first asked for: `import freeze_omni` stays quick."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'freeze_omni' has no attribute '{name}'")
