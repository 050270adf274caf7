"""Spectra there and back: log-mel, overlap-add, reconstruction losses, quiet cuts, the FIFO."""

from __future__ import annotations

import math

import pytest
import torch

from freeze_omni.codec.fifo import FifoConfig, TokenFifo, quiet_cut
from freeze_omni.codec.logmel import LogMel
from freeze_omni.codec.losses import ReconstructionConfig, ReconstructionLoss
from freeze_omni.codec.spectral import OverlapAdd
from tests.contract.parts.codec import toy_codec, toy_voice


def tone(hz: float, samples: int = 24000) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(samples) / 24000)[None]


def test_a_full_scale_tone_has_magnitude_one() -> None:
    logmel = LogMel(24000, 1024, 150, 80)
    magnitudes = logmel.magnitudes(tone(1500.0))
    assert magnitudes.shape == (1, 160, 513)
    assert float(magnitudes[0, 80].max()) == pytest.approx(1, abs=0.01)
    assert int(magnitudes[0, 80].argmax()) == 64


def test_mel_bins_follow_the_frequency() -> None:
    logmel = LogMel(24000, 1024, 150, 80)
    peaks = [int(logmel(tone(hz))[0, 80].argmax()) for hz in (200, 800, 3000, 9000)]
    assert peaks == sorted(set(peaks))
    assert float(logmel(torch.zeros(1, 1500)).max()) == pytest.approx(math.log(1e-3))


def test_overlap_add_undoes_a_short_time_spectrum() -> None:
    """A signal cut in frames by a rectangle comes back, as the windows add up to one."""
    overlap_add = OverlapAdd(60, 15)
    signal = torch.randn(1, 600)
    spectrum = torch.fft.rfft(signal.unfold(1, 60, 15))
    inside = slice(45, 500)
    torch.testing.assert_close(overlap_add(spectrum)[:, inside], signal[:, inside], atol=1e-5, rtol=0)


def test_reconstruction_losses_are_zero_for_a_copy_and_see_silence() -> None:
    loss = ReconstructionLoss(ReconstructionConfig(stft_weight=0.5), 24000)
    wav = torch.randn(2, 4800) * 0.1
    assert float(loss(wav, wav)["loss"]) == 0
    parts = loss(torch.zeros_like(wav), wav)
    assert float(parts["loss"]) == pytest.approx(float(parts["mel"] + 0.5 * parts["stft"]))
    assert float(parts["mel"]) > 1


def test_a_cut_lies_in_the_quiet_of_the_second_half() -> None:
    wav = torch.ones(1000)
    wav[100:200] = 0  # quiet, but in the first half
    wav[700:760] = 0.01
    wav[730] = 0
    assert quiet_cut(wav, 50, 0.1) == 730
    assert quiet_cut(wav, 50, 0.001) is None
    assert quiet_cut(wav[:40], 50, 0.1) is None


@pytest.mark.parametrize("count", [0, 3, 9, 60])
def test_the_fifo_gives_out_every_sample_once(count: int) -> None:
    """With a pad of the receptive field its pieces are the audio of decoding at once."""
    codec = toy_codec("time_domain")
    pad = codec.decoder.delay_tokens
    voice, tokens = toy_voice(codec), torch.randint(codec.codebook_size, (count,))
    fifo = TokenFifo(codec, voice, FifoConfig(pad, 5, pad, window_samples=31, threshold=10.0))
    state, pieces = fifo.initial_state(), []
    for part in tokens.split(4):
        given, state = fifo.push(part, state)
        pieces += given
    pieces.append(fifo.finish(state))
    assert count < 60 or len(pieces) > 3
    with torch.no_grad():
        whole = codec.decode(tokens[None], voice)[0] if count else torch.zeros(0)
    torch.testing.assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=1e-4)
