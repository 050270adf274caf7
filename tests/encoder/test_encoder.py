"""The encoder's own promises; that streaming equals offline is tests/contract's business."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.streaming import state_bytes
from tests.contract.parts.encoder import toy_encoder


def test_released_size_has_the_released_parameters() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder(EncoderConfig(positions="released"))
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count == 357_950_464
    assert round(count / 2**20, 2) == 341.37  # what the released model's own log prints


@pytest.mark.parametrize("feats", [4, 7, 16, 37])
def test_four_features_give_a_frame(feats: int) -> None:
    out, lengths = toy_encoder()(torch.randn(1, feats, 20), torch.tensor([feats]))
    assert out.shape == (1, feats // 4, 16) and int(lengths) == feats // 4


def test_audio_shorter_than_a_frame_gives_silence() -> None:
    out, lengths = toy_encoder()(torch.randn(2, 3, 20), torch.tensor([3, 0]))
    assert lengths.tolist() == [0, 0] and not out.any()


@pytest.mark.parametrize("positions", ["rotary", "released"])
@pytest.mark.parametrize("chunk", [1, 3, 4, 9])
def test_a_chunk_sees_nothing_later_at_any_size(positions: str, chunk: int) -> None:
    torch.manual_seed(0)
    encoder = toy_encoder(positions=positions)
    one, two = torch.randn(2, 1, 96, 20)
    changed = torch.cat([one[:, : 9 * chunk * 4 // 4], two[:, 9 * chunk * 4 // 4 :]], dim=1)
    lengths = torch.tensor([96])
    before, _ = encoder(one, lengths, chunk)
    after, _ = encoder(changed, lengths, chunk)
    same = 9 * chunk // 4 // chunk * chunk
    assert torch.allclose(before[:, :same], after[:, :same], atol=1e-5)
    assert not torch.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("positions", ["rotary", "released"])
def test_an_infinite_chunk_sees_everything(positions: str) -> None:
    torch.manual_seed(0)
    encoder = toy_encoder(positions=positions)
    feats = torch.randn(1, 240, 20, requires_grad=True)
    out, _ = encoder(feats, torch.tensor([240]), 0)
    for frame in (0, 59):
        (gradient,) = torch.autograd.grad(out[0, frame, 0], feats, retain_graph=True)
        assert gradient[0, :4].abs().sum() > 0 and gradient[0, -4:].abs().sum() > 0


def test_the_look_back_ends_where_the_cache_does() -> None:
    encoder = toy_encoder(layers=1, left_chunks=2)
    feats = torch.randn(1, 160, 20, requires_grad=True)
    out, _ = encoder(feats, torch.tensor([160]))
    (gradient,) = torch.autograd.grad(out[0, 39, 0], feats)
    first_seen = 4 * (36 - 8) - 3
    assert not gradient[0, :first_seen].any() and gradient[0, first_seen].any()


def test_gradients_are_finite_with_nan_in_the_padding() -> None:
    encoder = toy_encoder(conv_kernel=3).train()
    feats = torch.randn(2, 64, 20)
    feats[1, 20:] = float("nan")
    out, _ = encoder(feats, torch.tensor([64, 20]))
    out.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


def test_dynamic_chunks_are_drawn_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = toy_encoder(dynamic_chunks=True, dropout=0.0, full_context_probability=0.5)
    feats, lengths = torch.randn(1, 128, 20), torch.tensor([128])
    encoder.train()
    drawn = [encoder(feats, lengths)[0].detach() for _ in range(16)]
    full, _ = encoder(feats, lengths, 0)
    whole = sum(torch.allclose(out, full, atol=1e-5) for out in drawn)
    assert 0 < whole < 16
    encoder.eval()
    assert torch.equal(encoder(feats, lengths)[0], encoder(feats, lengths)[0])
    assert torch.equal(encoder(feats, lengths)[0], encoder(feats, lengths, 4)[0])


def test_augmentation_sees_normalised_features() -> None:
    encoder, seen = toy_encoder(), []

    def mask_all(x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(x)
        return torch.zeros_like(x), lengths

    feats, lengths = torch.randn(1, 32, 20), torch.tensor([32])
    masked, _ = encoder(feats, lengths, augment=mask_all)
    assert torch.allclose(seen[0], encoder.cmvn(feats))
    mean = encoder.cmvn.mean.expand(1, 32, -1)
    assert torch.allclose(masked, encoder(mean, lengths)[0], atol=1e-5)


def test_the_start_is_what_the_configuration_says() -> None:
    raw, normalised = (toy_encoder(start=start) for start in ("zero_features", "zero_cmvn"))
    assert torch.allclose(raw.initial_state(2)["feats"], raw.cmvn(torch.zeros(2, 3, 20)), atol=1e-6)
    assert not normalised.initial_state(2)["feats"].any()


def test_statistics_are_saved_with_the_model() -> None:
    assert {"cmvn.mean", "cmvn.istd"} <= toy_encoder().state_dict().keys()


def test_a_broken_step_is_refused() -> None:
    encoder = toy_encoder()
    with pytest.raises(ValueError, match="multiple of 16 feature frames, found 15"):
        encoder.step(torch.randn(1, 15, 20), encoder.initial_state(1))


def test_half_precision_streams() -> None:
    encoder = toy_encoder().to(torch.bfloat16)
    out, state = encoder.step(torch.randn(1, 16, 20), encoder.initial_state(1))
    assert out.dtype == state["keys"].dtype == torch.bfloat16


def test_memory_of_a_user_at_the_released_size() -> None:
    with torch.device("meta"):
        encoder = SpeechEncoder(EncoderConfig())
    assert state_bytes(encoder.initial_state(1)) < 13 * 2**20


@pytest.mark.parametrize("changes", [{"size": 15}, {"size": 6, "heads": 2}, {"input_size": 5}, {"chunk_frames": 0}])
def test_impossible_sizes_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        toy_encoder(**changes)


def test_convolution_blocks_need_a_kernel():
    with pytest.raises(ValueError, match="conv_kernel of 1 or more"):
        EncoderConfig(block="convolution")


@pytest.mark.parametrize("block", ["transformer", "convolution"])
def test_an_encoder_says_whether_its_frames_depend_on_the_chunk_size(block):
    encoder = toy_encoder(block=block, conv_kernel=3)
    feats, lengths = torch.randn(1, 64, 20), torch.tensor([64])
    one, other = (encoder(feats, lengths, size)[0] for size in (2, 0))
    assert torch.allclose(one, other, atol=1e-5) is not encoder.knows_chunks
