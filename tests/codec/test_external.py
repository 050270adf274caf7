"""A codec of another library, word for word from docs/add_a_part.md: wrapped, streamed, dumped, packed, spoken."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from freeze_omni import SpeechSession, pack
from freeze_omni.bin import codec_dump, wrap_codec
from freeze_omni.checkpoint import read_model
from freeze_omni.codec.config import CodecConfig
from freeze_omni.config import ConfigError, build
from freeze_omni.data.tables import read_table
from freeze_omni.session import events as ev
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from tests.commands import exit_code
from tests.data.corpora.clips import clip
from tests.shell.bash import ROOT
from tests.toy import toy_system

PAGE = (ROOT / "docs/add_a_part.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The page's two files, where its commands run."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrap(recipe, capsys) -> str:
    words = re.search(r"freeze_omni.bin.wrap_codec (.*)$", PAGE, re.MULTILINE).group(1).split()
    assert exit_code(wrap_codec.main, words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_page_gives_a_checkpoint_that_dumps_tokens(recipe, capsys):
    assert "64 codes, streamed as decoded at once exactly" in wrap(recipe, capsys)
    codec = read_model(["exp/2.1_codec/valid.loss.ave.pth:codec"]).codec
    assert codec.gain == 2.0 and codec.codebook_size == 64
    (recipe / "raw").mkdir()
    (recipe / "raw/wav.scp").write_text(f"a {clip(0).write(recipe / 'a.wav', 24000)}\n")
    words = ["--checkpoint", "exp/2.1_codec/valid.loss.ave.pth", "--data_dir", "raw", "--output_dir", "dump"]
    assert exit_code(codec_dump.main, words) == 0
    tokens = read_table("dump/tokens")["a"].split()
    assert len(tokens) == -(-len(clip(0).wav) * 3 // 2 // 600) and len(set(tokens)) > 1


@pytest.mark.parametrize("sizes", [(1,) * 9, (4, 5), (9,), (2, 7)])
def test_steps_give_what_decoding_at_once_gives(sizes, recipe, capsys):
    wrap(recipe, capsys)
    codec = read_model(["exp/2.1_codec/valid.loss.ave.pth:codec"]).codec
    tokens = torch.randint(0, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    voice = torch.zeros(1, 64)
    state, pieces = codec.initial_state(2), []
    for part in tokens.split(sizes, dim=1):
        piece, state = codec.step(part, state, voice)
        pieces.append(piece)
    streamed = torch.cat([*pieces, codec.flush(state, voice)], dim=1)
    assert not streamed[:, : codec.delay_samples].any()
    torch.testing.assert_close(streamed[:, codec.delay_samples :], codec.decode(tokens, voice))


def test_rows_of_different_lengths_do_not_touch(recipe, capsys):
    wrap(recipe, capsys)
    codec = read_model(["exp/2.1_codec/valid.loss.ave.pth:codec"]).codec
    wav = 0.3 * torch.randn(2, 2400, generator=torch.Generator().manual_seed(2))
    tokens, sizes, voice = codec.encode(wav, torch.tensor([2400, 1000]))
    assert sizes.tolist() == [4, 2] and not tokens[1, 2:].any()
    alone, _, _ = codec.encode(wav[1:, :1000])
    assert torch.equal(tokens[1:, :2], alone)
    out = codec.decode(tokens, voice, sizes)
    torch.testing.assert_close(out[1:, :1200], codec.decode(alone, voice[1:]))
    assert not out[1, 1200:].any()


def test_a_whole_model_speaks_with_it_and_is_packed(recipe, capsys):
    mapping = {"architecture": "external", "quantiser": {"codebook_size": 64}, "external": {"code": "my_codec:MyCodec"}}
    config = build(CodecConfig, mapping)
    decoder = SpeechDecoderConfig(size=16, heads=2, ffn_size=32, layers=1, pre_layers=1, codes=64)
    model = toy_system(recipe / "llm", codec=config, speech_decoder=decoder)
    model = pack.load(pack.save(model, recipe / "pack", copy_llm=False))
    session = SpeechSession(model)
    session.handle(ev.TextInput("Hello there"))
    played = [action.samples for action in session.answer() if isinstance(action, ev.PlayAudio)]
    assert played and len(np.concatenate(played)) % 600 == 0
    sound = clip(0)
    (recipe / "raw").mkdir()
    (recipe / "raw/wav.scp").write_text(f"a {sound.write(recipe / 'a.wav', 24000)}\n")
    assert exit_code(codec_dump.main, ["--checkpoint", "pack", "--data_dir", "raw", "--output_dir", "dump"]) == 0
    tokens = read_table("dump/tokens")["a"].split()  # by the codec of the packed model, not by one of ours
    assert len(tokens) == -(-len(sound.wav) * 3 // 2 // 600) and max(map(int, tokens)) < 64


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("no_such_module:X", "cannot be imported"),
        ("my_codec:Nothing", "cannot be imported"),
        ("pathlib:Path", "no subclass of"),
        ("", "needs external.code"),
    ],
)
def test_what_is_no_codec_is_refused(code, message, recipe):
    from freeze_omni.codec.codec import build_codec

    with pytest.raises(ConfigError, match=message):
        build_codec(build(CodecConfig, {"architecture": "external", "external": {"code": code}}))


def test_sizes_that_do_not_fit_are_told(recipe, capsys):
    (recipe / "codec.yaml").write_text("hop_samples: 599\n")
    words = ["--codec", "my_codec:MyCodec", "--config", "codec.yaml", "--output", "exp"]
    text = (recipe / "my_codec.py").read_text().replace("self.hop_samples, self.hop_samples", "300, 300")
    (recipe / "other_codec.py").write_text(text)
    words[1] = "other_codec:MyCodec"
    assert exit_code(wrap_codec.main, words) == 1
    assert "fix hop_samples" in capsys.readouterr().err
    assert not (recipe / "exp").exists()
