"""The composed model: its parts, its sizes, what is frozen, and a session that runs on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.checkpoint import fill_parts
from freeze_omni.config import ConfigError, as_mapping, build
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.llm.units import CtcUnits
from freeze_omni.quantised import quantise
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.history import hearing, open_turn
from freeze_omni.session.ops import drive
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.system import FEW_BITS, FreezeOmni, SystemConfig, build_parts
from tests.toy import TEXTS, toy_config, toy_system

PREFIXES = {"encoder", "ctc", "adapter", "prompt", "state_head", "speech_decoder", "codec", "voice"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


def test_the_state_dict_has_the_agreed_prefixes_and_no_llm(model):
    assert {name.split(".")[0] for name in model.state_dict()} == PREFIXES
    with_tasks = build_parts(toy_config(8, 10, task_tokens=4), torch.zeros(10, 8))
    assert with_tasks["task_tokens"].weight.shape == (4, 8)


def test_the_configuration_survives_yaml(model):
    assert build(SystemConfig, as_mapping(model.config)) == model.config


def test_settings_that_contradict_are_errors():
    mapping = as_mapping(toy_config(8, 10))
    mapping["rates"]["output_hz"] = 16000
    with pytest.raises(ConfigError, match="rates.output_hz, codec.sample_rate_hz"):
        build(SystemConfig, mapping)


def test_llm_and_units_of_another_size_are_errors(model):
    with pytest.raises(ValueError, match="llm_size is 99"):
        FreezeOmni(toy_config(99, len(model.units)), model.llm, model.units)
    characters = CtcUnits.from_characters(TEXTS)
    with pytest.raises(ValueError, match="ctc_units"):
        FreezeOmni(model.config, model.llm, characters)


def test_units_that_are_no_llm_tokens_need_another_adapter(model):
    characters = CtcUnits.from_characters(TEXTS)
    config = toy_config(model.llm.hidden_size, len(characters))
    with pytest.raises(ConfigError, match="posterior: false"):
        FreezeOmni(config, model.llm, characters)
    conv = toy_config(model.llm.hidden_size, len(characters), adapter=AdapterChoice(conv=ConvAdapterConfig()))
    assert not FreezeOmni(conv, model.llm, characters).training


def test_parts_are_filled_exactly(model):
    state = {key: value + 1 for key, value in model.prompt.state_dict().items()}
    before = model.prompt.weight.clone()
    fill_parts(model, {"prompt": state})
    assert torch.equal(model.prompt.weight, before + 1)
    with pytest.raises(ValueError, match="no part 'voice'"):
        fill_parts(model, {"voice": {}})
    with pytest.raises(ValueError, match="'prompt' does not fit"):
        fill_parts(model, {"prompt": {"weight": torch.zeros(1, 1)}})


def test_spoken_text_is_in_the_decoders_units(model):
    ids = model.spoken_ids("Hello, my name is Anna.")
    assert model.llm.tokenizer.decode(ids) == "Hello, my name is Anna."


def test_transcribing_in_chunks_is_what_a_session_hears(model):
    wav = torch.from_numpy(np.random.default_rng(1).normal(0, 0.3, 8 * 2560)).float()
    with torch.no_grad():  # a fresh CTC head says one unit at every frame
        model.ctc.output.weight.normal_(0, 3.0, generator=torch.Generator().manual_seed(2))
        model.ctc.output.bias.zero_()
    cache = model.llm.new_cache()
    turn = open_turn(model, cache, model.llm.chat.user_prefix())
    for chunk in wav.split(2560):
        heard, turn = drive(model, hearing(model, chunk.numpy(), turn))
    text = model.transcribe(wav[None], torch.tensor([len(wav)]))[0]
    assert text and turn.text.strip() == text
    assert sum(heard.probabilities) == pytest.approx(1.0)


def test_a_session_answers_a_text(model):
    answers = AnswerConfig(model.config.generation, sampling=SamplingConfig(max_tokens=12))
    session = SpeechSession(model, SessionConfig(answers=answers))
    session.handle(ev.TextInput("Hello, my name is Anna."))
    actions = list(session.answer())
    assert any(isinstance(action, ev.PlayAudio) for action in actions)
    assert any(isinstance(action, ev.TextDelta) for action in actions)


def test_the_voice_comes_from_a_reference(model):
    before = model.voice.clone()
    model.set_voice(torch.randn(12000))
    assert model.voice.shape == before.shape and not torch.equal(model.voice, before)


@pytest.mark.parametrize("bits", ["float16", "int8"])
def test_an_encoder_in_few_bits_hears_in_steps_as_at_once(bits):
    """With released positions, too, one of whose matrices is read by another way than its layer."""
    config = EncoderConfig(size=32, layers=2, heads=2, ffn_size=64, positions="released")
    encoder = SpeechEncoder(config).eval()
    quantise(encoder, bits, FEW_BITS["encoder"])
    feats, state, steps = torch.randn(1, 64, config.input_size), encoder.initial_state(1), []
    with torch.no_grad():
        at_once, _ = encoder(feats, torch.tensor([64]))
        for chunk in feats.split(16, dim=1):
            frames, state = encoder.step(chunk, state)
            steps.append(frames)
    torch.testing.assert_close(torch.cat(steps, 1), at_once, atol=0.02, rtol=0)
