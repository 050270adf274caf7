"""A packed model whose words are said by the decoder of its frontend's Whisper."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.adapter.words import WordAdapterConfig
from freeze_omni.bin import pack
from freeze_omni.config import ConfigError
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.eval.asr import transcribe
from freeze_omni.eval.batch import context, hear, texts
from freeze_omni.eval.config import AsrDecodeConfig, QaDecodeConfig
from freeze_omni.eval.qa import answer
from freeze_omni.eval.states import stream
from freeze_omni.frontend.load import load_weights
from freeze_omni.frontend.pretrained import PretrainedConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.llm.units import CtcUnits
from freeze_omni.pack import load, save
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni
from tests.contract.parts.pretrained import MODELS, toy_frontend
from tests.encoder.whisper import write_whisper
from tests.toy import toy_config, toy_llm, toy_system

SOUND = 0.1 * np.random.default_rng(0).standard_normal(12 * 2560)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """The Whisper, and a packed model whose frontend it is, before and after its decoder says the words."""
    root = tmp_path_factory.mktemp("packs")
    _, whisper = write_whisper(root / "whisper")
    llm = FrozenLLM.load(toy_llm(root / "llm"))
    units = CtcUnits.from_words(WordCounts({"the": 0.2, "cat": 0.1}, {}))
    frontend = PretrainedConfig(model=MODELS["whisper"], left_s=0.32, context="cached")
    size = toy_frontend(context="cached").output_size
    config = toy_config(
        llm.hidden_size,
        len(units),
        adapter=AdapterChoice(words=WordAdapterConfig()),
        frontend=frontend,
        rates=Rates(frame_shift_ms=40, encoder_downsample=1),
        encoder=EncoderConfig(input_size=size, size=16, layers=1, heads=2, ffn_size=32, subsampling="none"),
        generation=GenerationConfig(max_new_tokens=4),
    )
    model = FreezeOmni(config, llm, units)
    load_weights(model.frontend, str(whisper))
    model.set_voice(0.1 * torch.randn(24000))
    save(model, root / "before")
    options = ["--output", str(root / "after"), "--base", str(root / "before"), "--transcriber", str(whisper)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["pack", *options])
        pack.main()
    return root


def test_its_words_are_those_of_the_decoder(packs):
    model = load(packs / "after")
    assert model.transcriber.config.silence_chunks and model.search is None
    assert not any(weight.requires_grad for weight in model.transcriber.parameters())
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.MANUAL))
    done = session.push(SOUND)
    said = "".join(action.text for action in done if isinstance(action, ev.TranscriptDelta))
    state = {key: value for key, value in session.turn.listening.items() if key.startswith("transcriber.")}
    assert int(state["transcriber.count"]) > 0 and said
    units = torch.tensor(session.turn.units)
    sent = torch.cat(session.turn.body[1:])
    embeds = model.llm.embed(units)
    assert len(sent) == len(units) and torch.allclose(sent, embeds, atol=1e-5), "the LLM reads the tokens said"
    session.handle(ev.Respond())
    assert any(isinstance(action, ev.TextDelta) for action in session.answer())
    wav = torch.from_numpy(SOUND).float()[None]
    assert model.transcribe(wav, torch.tensor([wav.shape[1]]))[0].startswith(session.model.written(units[:2].tolist()))


def test_evaluation_hears_what_sessions_hear(packs):
    """Answers, transcripts and states of recordings: the words are those of the stream, of rows of several lengths."""
    model = load(packs / "after")
    sound = SOUND.astype(np.float32)
    sounds = [sound, sound[: 9 * 2560]]
    found = answer(model, sounds, ["What is it?"] * 2, [()] * 2, QaDecodeConfig(max_new_tokens=4))
    assert all(row["transcript"] for row in found)
    heard = hear(model, sounds)
    written = transcribe(model, sounds, None, AsrDecodeConfig())
    silence = np.zeros(model.listening.end_samples, np.float32)  # in which the last words are said
    streamed = stream(model, [np.concatenate([sound, silence]) for sound in sounds], [context(model)] * 2)
    for row, text in enumerate(texts(model, heard)):
        assert {text} == {found[row]["transcript"], written[row]["chunk4"], written[row]["chunk_inf"]}
        assert streamed[row]["transcript"].startswith(text)
        assert len(streamed[row]["probabilities"]) >= len(sounds[row]) // 2560


def test_it_is_packed_again_with_other_parts(packs, monkeypatch):
    words = ["--base", str(packs / "after"), "--parts", f"{packs / 'before'}:prompt", "--output", str(packs / "again")]
    monkeypatch.setattr("sys.argv", ["pack", *words])
    pack.main()
    one, other = load(packs / "after"), load(packs / "again")
    assert one.config.transcriber == other.config.transcriber
    assert torch.equal(one.transcriber.spelled, other.transcriber.spelled)


def test_other_models_are_refused(packs, tmp_path, monkeypatch):
    save(toy_system(tmp_path / "llm"), tmp_path / "other")
    options = ["--output", str(tmp_path / "x"), "--transcriber", str(packs / "whisper")]
    with pytest.raises(ConfigError, match="the decoder of a frontend, and this model has none"):
        pack.assemble(pack.parser().parse_args([*options, "--base", str(tmp_path / "other")]))
    with pytest.raises(ValueError, match="for models with the adapter `words`"):
        replace(load(packs / "after").config, adapter=AdapterChoice(conv=ConvAdapterConfig()))
    learned = replace(load(packs / "before").config, adapter=AdapterChoice(words=WordAdapterConfig(transcribed=True)))
    monkeypatch.setattr(pack, "_of_parts", lambda args: SimpleNamespace(config=learned, has=lambda part: False))
    with pytest.raises(ConfigError, match="--transcriber is missing: the adapter has learned"):
        pack.assemble(pack.parser().parse_args(["--output", str(tmp_path / "x"), "--parts", "a.pth:adapter"]))
    with pytest.raises(ConfigError, match="--parts is missing"):
        pack.assemble(pack.parser().parse_args(["--output", str(tmp_path / "x")]))
