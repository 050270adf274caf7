"""Features equal Kaldi's, and their counts follow the rates."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.frontend.fbank import Fbank, FbankConfig
from freeze_omni.rates import Rates


def _kaldi(wav: torch.Tensor, config: FbankConfig) -> torch.Tensor:
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = config.sample_hz
    options.mel_opts.num_bins = config.mel_bins
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(config.sample_hz, (wav * 32768).tolist())
    fbank.input_finished()
    return torch.stack([torch.from_numpy(fbank.get_frame(i).copy()) for i in range(fbank.num_frames_ready)])


@pytest.mark.parametrize("config", [FbankConfig(), FbankConfig(sample_hz=8000, mel_bins=40)], ids=["16k", "8k"])
@pytest.mark.parametrize("samples", [400, 559, 560, 16001])
def test_equals_kaldi(config: FbankConfig, samples: int) -> None:
    torch.manual_seed(0)
    time_s = torch.arange(samples) / config.sample_hz
    wav = 0.3 * torch.sin(2 * torch.pi * 440 * time_s) + 0.02 * torch.randn(samples) + 0.05
    feats, lengths = Fbank(config)(wav[None], torch.tensor([samples]), left_pad=False)
    expected = _kaldi(wav, config)
    assert int(lengths) == feats.shape[1] == len(expected)
    assert (feats[0] - expected).abs().max() < 2e-3 * expected.abs().max()
    assert (feats[0] - expected).abs().mean() < 1e-4 * expected.abs().max()


def test_digital_silence_gives_the_floor() -> None:
    feats, _ = Fbank()(torch.zeros(1, 2560), torch.tensor([2560]))
    assert torch.allclose(feats, torch.tensor(torch.finfo(torch.float32).eps).log())


def test_one_step_of_the_rates_is_one_chunk_of_frames() -> None:
    rates, fbank = Rates(), Fbank()
    feats, _ = fbank.step(torch.zeros(2, rates.chunk_samples), fbank.initial_state(2))
    assert feats.shape == (2, rates.chunk_feats, rates.mel_bins)
    _, lengths = fbank(torch.zeros(2, 16000), torch.tensor([16000, 2719]))
    assert lengths.tolist() == [100, 16]


def test_audio_shorter_than_a_frame_gives_none() -> None:
    _, lengths = Fbank()(torch.zeros(2, 100), torch.tensor([100, 0]))
    assert lengths.tolist() == [0, 0]


def test_a_broken_step_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 160"):
        Fbank().step(torch.zeros(1, 100), Fbank().initial_state(1))
