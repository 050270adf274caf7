"""The codec as a whole: sizes, ragged batches, global codes, errors."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.codec import Codec, CodecConfig
from freeze_omni.codec.config import GlobalCodeConfig, QuantiserConfig, TimeDomainConfig
from freeze_omni.config import ConfigError, as_mapping, build
from tests.contract.parts.codec import TOYS, toy_codec, toy_voice

KINDS = sorted(TOYS)


@pytest.mark.parametrize("kind", KINDS)
def test_audio_to_tokens_to_audio(kind: str) -> None:
    codec = toy_codec(kind)
    hop = codec.hop_samples
    tokens, lengths, voice = codec.encode(torch.randn(2, 7 * hop - 1))
    assert tokens.shape == (2, 7) and lengths.tolist() == [7, 7]
    assert codec.decode(tokens, voice).shape == (2, 7 * hop)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_reach_tokens_or_voice(kind: str) -> None:
    codec = toy_codec(kind)
    hop = codec.hop_samples
    sizes = torch.tensor([9 * hop, 5 * hop - 7, hop])
    wav = torch.randn(3, 9 * hop)
    padded = wav.clone()
    for row, size in enumerate(sizes):
        padded[row, size:] = float("nan")
    tokens, lengths, voice = codec.encode(padded, sizes)
    for row, size in enumerate(sizes):
        alone, _, its_voice = codec.encode(wav[row : row + 1, :size])
        assert tokens[row, : lengths[row]].tolist() == alone[0].tolist()
        assert not tokens[row, lengths[row] :].any()
        torch.testing.assert_close(voice[row], its_voice[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_voice_changes_the_audio(kind: str) -> None:
    codec = toy_codec(kind)
    tokens = torch.randint(codec.codebook_size, (1, 6))
    voices = toy_voice(codec), toy_voice(codec)
    with torch.no_grad():
        one, other = (codec.decode(tokens, voice) for voice in voices)
    assert float((one - other).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_one_voice_serves_all_rows(kind: str) -> None:
    codec = toy_codec(kind)
    tokens, voice = torch.randint(codec.codebook_size, (3, 4)), toy_voice(codec)
    with torch.no_grad():
        expected = codec.decode(tokens, voice.expand(3, -1))
        torch.testing.assert_close(codec.decode(tokens, voice), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_pass_reaches_every_weight(kind: str) -> None:
    codec = toy_codec(kind).train()
    hop = codec.hop_samples
    found = codec(torch.randn(2, 8 * hop), torch.randn(2, 6 * hop), torch.full((2,), 6 * hop))
    assert found.wav.shape == (2, 8 * hop) and found.tokens.shape == (2, 8)
    (found.wav.square().mean() + found.commitment + found.preview).backward()
    still = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_tokens_outside_the_codebook_are_refused() -> None:
    codec = toy_codec("spectral")
    with pytest.raises(IndexError, match="0..15"):
        codec.decode(torch.tensor([[3, 16]]), toy_voice(codec))


def test_published_sizes() -> None:
    """15.4 M parameters of the generator (512 channels, rates 8, 5, 5, 3, three blocks a stage)."""
    with torch.device("meta"):
        codec = Codec(
            CodecConfig(
                architecture="time_domain",
                quantiser=QuantiserConfig(dim=0, normalise=False),
                global_code=GlobalCodeConfig(128, 8),
                time_domain=TimeDomainConfig(),
            )
        )
    count = sum(parameter.numel() for parameter in codec.decoder.parameters())
    assert round(count / 1e6, 1) == 15.4
    assert codec.hop_samples == 600


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"quantiser": {"kind": "fsq", "levels": [8, 8]}}, "make 64 codes"),
        ({"architecture": "time_domain", "hop_samples": 500}, "hop_samples is 500"),
        ({"time_domain": {"rate_kernels": [16, 10, 11, 5]}}, "rate 5 needs a kernel"),
        ({"spectral": {"synthesis_window_samples": 700}}, "synthesis_window_samples 700"),
        ({"spectral": {"lookahead_tokens": 0}}, "lookahead_tokens"),
        ({"global_code": {"dim": 10, "tokens": 4}}, "not a multiple of 4"),
        ({"spectral": {"widht": 3}}, "did you mean 'width'"),
    ],
)
def test_configurations_that_cannot_be(mapping: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(CodecConfig, mapping)


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_survives_yaml(kind: str) -> None:
    config = build(CodecConfig, TOYS[kind])
    assert build(CodecConfig, as_mapping(config)) == config
