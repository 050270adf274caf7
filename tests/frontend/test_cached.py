"""Whisper with kept keys and values: its arithmetic is transformers' own, and its memory is bounded."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.frontend.cached import EDGE_SAMPLES, CachedFrontend
from freeze_omni.frontend.speech_model import LogMel
from tests.contract.parts.pretrained import toy_frontend


def cached(**changes) -> CachedFrontend:
    frontend = toy_frontend(context="cached", **changes)
    assert isinstance(frontend, CachedFrontend)
    return frontend


def test_a_chunk_with_nothing_before_it_is_what_whispers_own_layers_make_of_it() -> None:
    frontend = cached(left_s=0.0, lookahead_chunks=1)
    wav, state = 0.1 * torch.randn(1, 2 * frontend.chunk_samples), frontend.initial_state(1)
    feats = frontend.step(wav, state)[0][:, 4:]  # of the first chunk of sound; the second is its look-ahead
    frames = frontend.chunk_frames + frontend.after_frames
    heard = torch.cat([torch.zeros(1, EDGE_SAMPLES), wav], dim=1)[:, : EDGE_SAMPLES + frames * 320 + 200]
    mel, _ = frontend.model.features.running(heard, state["ceiling"], 0)
    x = frontend.model.stem(mel, torch.tensor([frontend.chunk_frames]))
    for layer in frontend.model.net.layers:
        x = layer(x, None)
    expected = frontend.model.net.layer_norm(x)[:, : frontend.chunk_frames].reshape(feats.shape)
    assert torch.allclose(feats, expected, atol=1e-5)


def test_a_chunk_hears_left_s_before_it_and_its_look_ahead() -> None:
    frontend = cached(left_s=0.32, lookahead_chunks=2)
    wav = torch.zeros(1, 9 * frontend.chunk_samples)
    silent = frontend(wav, torch.tensor([wav.shape[1]]))[0]
    wav[:, 3 * frontend.chunk_samples + 400 : 4 * frontend.chunk_samples - 800].normal_(std=1e-3)
    changed = (frontend(wav, torch.tensor([wav.shape[1]]))[0] - silent).abs().amax(-1)[0].unflatten(0, (9, -1)).amax(1)
    # chunk 3 comes two chunks late; through two layers its sound reaches the four chunks after it
    assert (changed > 0).tolist() == [False] * 3 + [True] * 6


def test_a_state_does_not_grow() -> None:
    frontend = cached()
    state = fresh = frontend.initial_state(2)
    for _ in range(40):  # positions are used up several times
        _, state = frontend.step(0.1 * torch.randn(2, frontend.chunk_samples), state)
        assert int(state["place"].max()) <= frontend.most_chunks
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in fresh.items()}


def test_the_running_log_mel_is_that_of_the_window_below_the_loudest_value() -> None:
    wav, features = 0.1 * torch.randn(1, 16000), LogMel(80)
    loudest = features._log(wav, centred=True)[..., :-1].amax()
    found, after = features.running(wav[:, 120:], loudest[None], 50)
    assert torch.allclose(found, features(wav)[..., 2:99], atol=1e-4)  # its first window begins at sample 120
    assert after.tolist() == [loudest.item()]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kind": "wavlm"}, "is for Whisper"),
        ({"lookahead_chunks": 0}, "needs lookahead_chunks of 1 or more"),
        ({"left_s": 0.2}, "no multiple of a chunk"),
        ({"left_s": 1.28}, "Whisper takes 100 at most"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        cached(**changes)
