"""Corpora by name. A new one is a file in this folder and a line here."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "librispeech": ("librispeech", "LibriSpeech"),
    "aishell": ("aishell", "Aishell"),
    "wenetspeech": ("wenetspeech", "WenetSpeech"),
    "gigaspeech": ("gigaspeech", "GigaSpeech"),
    "commonvoice": ("commonvoice", "CommonVoice"),
    "an4": ("an4", "An4"),
    "from_hf": ("from_hf", "FromHf"),
    "ljspeech": ("ljspeech", "LjSpeech"),
    "libritts": ("libritts", "LibriTts"),
    "vctk": ("vctk", "Vctk"),
    "aishell3": ("aishell3", "Aishell3"),
    "moss_003_sft": ("moss_003_sft", "Moss003Sft"),
    "json_dialogue": ("json_dialogue", "JsonDialogue"),
    "sgd": ("sgd", "Sgd"),
    "taskmaster": ("taskmaster", "Taskmaster"),
}
CORPORA = tuple(_HOMES)


def corpus_class(name: str) -> Any:
    """The dataclass of a corpus, by a name of CORPORA."""
    module, cls = _HOMES[name]
    return getattr(importlib.import_module(f"freeze_omni.data.corpora.{module}"), cls)
