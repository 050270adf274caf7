"""The time-domain codec and the token FIFO against recorded runs of the published ones (random-weight miniatures)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from freeze_omni.codec import Codec
from freeze_omni.codec.fifo import FifoConfig, TokenFifo
from freeze_omni.released.codec import read_codec, to_released
from freeze_omni.released.speech_decoder import read_speech_decoder
from freeze_omni.speech_decoder import SamplingConfig, SpeechDecoder
from freeze_omni.speech_decoder.generate import generate

ROOT = Path(os.environ.get("FREEZE_OMNI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no golden recordings (FREEZE_OMNI_GOLDEN)")


class Golden(NamedTuple):
    folder: Path
    codec: Codec
    voice: Tensor
    record: dict[str, np.ndarray]


@pytest.fixture(params=["a", "b"])
def golden(request: pytest.FixtureRequest) -> Golden:
    folder = ROOT / request.param
    codec, voice, _ = read_codec(folder / "checkpoints" / "codec")
    return Golden(folder, codec, voice, dict(np.load(folder / "golden.npz")))


def error(ours: Tensor, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max() / np.abs(theirs).max())


def test_decoding_at_once(golden: Golden) -> None:
    wav = golden.codec.decode(torch.from_numpy(golden.record["codec_tokens"])[None], golden.voice)
    assert error(wav[0].detach(), golden.record["codec_wav"]) < 1e-4


def test_decoding_step_by_step(golden: Golden) -> None:
    codec, voice = golden.codec, golden.voice
    tokens = torch.from_numpy(golden.record["codec_tokens"])[None]
    state, pieces = codec.initial_state(1), []
    with torch.no_grad():
        for chunk in tokens.split(7, dim=1):
            wav, state = codec.step(chunk, state, voice)
            pieces.append(wav)
        pieces.append(codec.flush(state, voice))
    wav = torch.cat(pieces, dim=1)[0, codec.delay_samples :]
    assert error(wav, golden.record["codec_wav"]) < 1e-4


def test_encoding(golden: Golden) -> None:
    wav = torch.from_numpy(golden.record["codec_in_wav"])[None]
    tokens, lengths, voice = golden.codec.encode(wav)
    assert tokens[0].tolist() == golden.record["codec_enc_tokens"].tolist()
    assert lengths.tolist() == [tokens.shape[1]]
    assert voice[0].tolist() == golden.record["codec_enc_global"].tolist()


def test_fifo_streams_what_the_server_streamed(golden: Golden) -> None:
    tokens = spoken_tokens(golden)
    fifo = TokenFifo(
        golden.codec,
        golden.voice,
        FifoConfig(
            first_chunk_tokens=8,
            chunk_tokens=8,
            pad_tokens=3,
            window_samples=1201,
            threshold=10.0,
        ),
    )
    state, pieces = fifo.initial_state(), []
    for token in tokens:
        given, state = fifo.push(torch.tensor([token]), state)
        pieces += given
    pieces.append(fifo.finish(state))
    assert [len(piece) for piece in pieces] == golden.record["stream_seg_lens"].tolist()
    assert error(torch.cat(pieces), golden.record["stream_wav"]) < 1e-4


def spoken_tokens(golden: Golden) -> list[int]:
    """The greedy speech tokens of the recorded text and hidden states, to the end."""
    config, state = read_speech_decoder(golden.folder / "checkpoints" / "decoder")
    weights = load_file(golden.folder / "llm" / "model.safetensors")
    embed = next(value for key, value in weights.items() if key.endswith("embed_tokens.weight"))
    decoder = SpeechDecoder(config, embed.shape[1]).eval()
    decoder.load_state_dict(state)
    text = embed.float()[torch.from_numpy(golden.record["tts_text_ids"])]
    hidden = torch.from_numpy(golden.record["round0_hidden"])
    sampling = SamplingConfig(top_k=1, penalty=1.1, penalty_window=0)
    return list(generate(decoder, text, hidden, sampling))


def test_export_is_the_inverse_of_import(golden: Golden) -> None:
    theirs = torch.load(golden.folder / "checkpoints" / "codec" / "final.pt", weights_only=True)
    ours = to_released(golden.codec)
    assert {group: set(tensors) for group, tensors in ours.items()} == {
        group: set(tensors) for group, tensors in theirs.items()
    }
    for group, tensors in theirs.items():
        for name, tensor in tensors.items():
            if not name.startswith("linear."):
                assert torch.equal(ours[group][name], tensor), name
