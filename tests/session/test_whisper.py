"""Sessions on a Whisper that keeps keys and values: each has its own, wherever its positions are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.frontend.cached import CachedFrontend
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.ops import drive, drive_together
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.contract.parts.pretrained import MODELS, toy_frontend
from tests.toy import toy_system

ANSWERS = AnswerConfig(generation=GenerationConfig(max_new_tokens=4), sampling=SamplingConfig(top_k=1, max_tokens=8))
CONFIG = SessionConfig(answers=ANSWERS, turn_detection=TurnDetection.MANUAL)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config = PretrainedConfig(model=MODELS["whisper"], left_s=0.32, context="cached")
    size = toy_frontend(context="cached").output_size
    return toy_system(
        tmp_path_factory.mktemp("toy") / "llm",
        frontend=config,
        rates=Rates(frame_shift_ms=40, encoder_downsample=1),
        encoder=EncoderConfig(input_size=size, size=16, layers=1, heads=2, ffn_size=32, subsampling="none"),
        adapter=AdapterChoice(conv=ConvAdapterConfig()),
    )


def noise(chunks, seed):
    return np.random.default_rng(seed).standard_normal(chunks * 2560).astype(np.float32) * 0.1


def listening(model, seed, before):
    """What the LLM has read, and the sum of what was played, of a session that has heard `before` chunks when it begins
    to share batches with others."""
    session = SpeechSession(model, CONFIG)
    sound = noise(before + 14, seed)
    drive(model, session.pushing(sound[: before * 2560]))
    actions = yield from session.pushing(sound[before * 2560 :])
    actions += yield from session.handling(ev.Respond())
    while session.answering is not None:
        actions += yield from session.working()
    return session.history.turns[0], sum(action.samples.sum() for action in actions if isinstance(action, ev.PlayAudio))


def test_sessions_at_other_places_hear_what_they_hear_alone(model):
    """Positions end after ten chunks, in each of them at another step."""
    assert isinstance(model.frontend, CachedFrontend) and model.frontend.most_chunks == 10
    rows = [(1, 0), (2, 3), (3, 8)]
    alone = [drive(model, listening(model, *row)) for row in rows]
    together = drive_together(model, [listening(model, *row) for row in rows])
    for (turn, sound), (turn_alone, sound_alone) in zip(together, alone, strict=True):
        torch.testing.assert_close(turn, turn_alone, atol=1e-4, rtol=1e-4)
        assert sound == pytest.approx(sound_alone, abs=1e-3)
    assert len({len(turn) for turn, _ in together}) > 1
