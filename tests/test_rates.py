"""The clocks of the paper's table, and of a model with other ones."""

from __future__ import annotations

from freeze_omni.rates import Rates


def test_the_papers_clocks():
    rates = Rates()
    assert (rates.shift_samples, rates.window_samples, rates.overlap_samples) == (160, 400, 240)
    assert (rates.chunk_feats, rates.overlap_feats, rates.chunk_samples) == (16, 3, 2560)
    assert (rates.chunk_ms, rates.chunk_s) == (160, 0.16)
    assert (rates.encoder_hz, rates.position_hz, rates.token_hz) == (25, 12.5, 40)


def test_other_clocks_follow():
    rates = Rates(input_hz=8000, chunk_frames=8, adapter_downsample=4, token_samples=480)
    assert (rates.shift_samples, rates.chunk_samples, rates.chunk_ms) == (80, 2560, 320)
    assert (rates.position_hz, rates.token_hz) == (6.25, 50)
