"""A session with an imported model: no words, the published server's way to stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.released.checkpoint import build_model, read_released
from freeze_omni.session import events as ev
from freeze_omni.session.answer import own_answers
from freeze_omni.session.session import SessionConfig, SpeechSession
from tests.released.make import Sizes, write_checkpoint
from tests.toy import toy_llm


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    released = read_released(write_checkpoint(root / "made", Sizes()))
    model = build_model(released, FrozenLLM.load(toy_llm(root / "llm", hidden_size=96), texts=released.config.chat))
    with torch.no_grad():
        model.state_head.output.bias += torch.tensor([50.0, 0.0, 0.0, 0.0])  # listens on for ever
    return model


def answer(model):
    answers = own_answers(model)
    sampling = replace(answers.sampling, max_tokens=30)
    answers = replace(answers, generation=replace(answers.generation, max_new_tokens=8), sampling=sampling)
    session = SpeechSession(model, SessionConfig(answers=answers))
    session.push(0.1 * np.random.default_rng(0).standard_normal(4 * 2560).astype(np.float32))
    heard = session.handle(ev.Timeout())
    speaker = session.answering
    return [*heard, *session.answer()], speaker


def test_without_words_a_turn_that_times_out_is_answered(model):
    actions, speaker = answer(model)
    assert not model.transcribes
    assert not any(isinstance(action, ev.TranscriptDelta) and action.text for action in actions)
    assert any(isinstance(action, ev.PlayAudio) for action in actions)


def test_pieces_are_those_of_the_fifo_and_nothing_is_lost(model):
    actions, speaker = answer(model)
    assert speaker.config.chunks.first == model.config.fifo.first_chunk_tokens
    samples = sum(len(action.samples) for action in actions if isinstance(action, ev.PlayAudio))
    assert samples == speaker.tokens_made * model.codec.hop_samples > 0
