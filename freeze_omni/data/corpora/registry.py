"""Corpora by name. A new one is a file of that name in this folder, and its class here."""

import importlib
from typing import Any

_CLASSES = {
    # asr
    **{"librispeech": "LibriSpeech", "aishell": "Aishell", "wenetspeech": "WenetSpeech", "gigaspeech": "GigaSpeech"},
    **{"commonvoice": "CommonVoice", "an4": "An4", "from_hf": "FromHf"},
    # tts
    **{"ljspeech": "LjSpeech", "libritts": "LibriTts", "vctk": "Vctk", "aishell3": "Aishell3"},
    # qa
    **{"moss_003_sft": "Moss003Sft", "json_dialogue": "JsonDialogue", "sgd": "Sgd", "taskmaster": "Taskmaster"},
}
CORPORA = tuple(_CLASSES)


def corpus_class(name: str) -> Any:
    """The dataclass of a corpus, by a name of CORPORA."""
    return getattr(importlib.import_module(f"freeze_omni.data.corpora.{name}"), _CLASSES[name])
