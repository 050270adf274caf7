"""Sessions whose LLM is computed by llama.cpp: all are answered, also after an interruption, and leave nothing.

Their states are held to those of a row alone, within what 16 and 8 bits round, by tests/llm/test_engine.py.
"""

from __future__ import annotations

import gc

import pytest

from freeze_omni.llm.llama_library import MOST_SEQUENCES
from freeze_omni.pack import load, save
from freeze_omni.session import events as ev
from tests.engine.rig import Rig, speech
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    need_llama_cpp()
    root = tmp_path_factory.mktemp("gguf")
    toy = toy_system(root / "llm")
    return load(save(toy, root / "pack", gguf=write_gguf(root / "llm", root / "toy.gguf", quantised=True)))


def talk(model, *keys):
    """Texts of each session's answers: to a typed turn, and to a spoken one and another that interrupts it."""
    rig = Rig(model)
    rig.open(*keys, seed=3)
    for key in keys:
        rig.put(key, ev.TextInput(f"Hello, {key}!"))
    rig.run()
    for key in keys:
        rig.put(key, speech(len(key)))
        rig.put(key, ev.TextInput("And you?"))
    rig.run()
    assert not rig.failed
    return {key: rig.text(key) for key in keys}


def test_sessions_are_answered_and_leave_no_sequence(model):
    assert all(talk(model, "a", "bb").values())
    gc.collect()
    assert len(model.llm.context.released) + len(model.llm.context._free) == MOST_SEQUENCES
