"""Sessions whose LLM is computed by llama.cpp: all are answered, also after an interruption, and leave nothing.

Their states are held to those of a row alone, within what 16 and 8 bits round, by tests/llm/test_engine.py.
"""

from __future__ import annotations

import contextlib
import gc

import numpy as np
import pytest

from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.llm.llama_library import MOST_SEQUENCES
from freeze_omni.pack import load, save
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.ops import Read, execute
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.engine.rig import Rig, speech
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import toy_system

SHORT = AnswerConfig(generation=GenerationConfig(max_new_tokens=4), sampling=SamplingConfig(top_k=1, max_tokens=8))


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


def first_steps(model, prepared):
    """Positions that the LLM reads for the first chunk of a turn, the first and one after an answer; and all texts."""
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.MANUAL, answers=SHORT))
    read, texts = [], []
    for seed in (1, 2):
        if not prepared:
            session._next = None
        job = session.pushing(np.random.default_rng(seed).standard_normal(2560).astype(np.float32) * 0.1)
        op, found = job.send(None), []
        with contextlib.suppress(StopIteration):
            while True:
                found.append(len(op.embeds) if isinstance(op, Read) else 0)
                op = job.send(execute(model, [op])[0])
        read.append(sum(found))
        actions = session.handle(ev.Respond()) + list(session.answer())
        sound = sum(len(action.samples) for action in actions if isinstance(action, ev.PlayAudio))
        session.handle(ev.Played(sound))
        texts.append([action.text for action in actions if isinstance(action, ev.TextDelta)])
    return read, texts


def test_what_opens_a_turn_is_read_before_it(model):
    """The first step of a turn reads what the user says alone, and the answers are the same."""
    (ahead, texts), (late, others) = first_steps(model, True), first_steps(model, False)
    assert texts == others and any(texts)
    opening = [len(model.llm.order.prefix(first=first)) + len(model.prompt.weight) for first in (True, False)]
    assert [other - one for one, other in zip(ahead, late, strict=True)] == opening
