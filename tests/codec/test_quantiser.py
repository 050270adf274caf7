"""Both codebooks: round trips, gradients, starting, restarting."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.codec.config import QuantiserConfig
from freeze_omni.codec.quantiser import GAUSSIAN_TO_EVEN, FiniteScalarQuantiser, Quantiser, VectorQuantiser, token_usage


def test_every_fsq_code_is_its_own_nearest() -> None:
    codes = FiniteScalarQuantiser((8, 5, 4))
    tokens = torch.arange(160)[None]
    values = codes.lookup(tokens)
    assert float(values.abs().max()) == 1 and len(values[0].unique(dim=0)) == 160
    inverse = torch.atanh(values * 0.9) / GAUSSIAN_TO_EVEN  # well inside each cell
    assert codes.nearest(inverse).tolist() == tokens.tolist()


@pytest.mark.parametrize("kind", ["vq", "fsq"])
def test_values_are_those_of_the_tokens(kind: str) -> None:
    config = QuantiserConfig(kind=kind, codebook_size=16, dim=4, levels=(4, 4))
    quantiser = Quantiser(config, 8).eval()
    latent = torch.randn(2, 5, 8, requires_grad=True)
    found = quantiser(latent)
    torch.testing.assert_close(found.values, quantiser.lookup(found.tokens))
    assert found.tokens.tolist() == quantiser.tokens(latent).tolist()
    found.values.sum().backward()
    assert latent.grad.abs().sum() > 0


def test_vq_follows_its_input_and_leaves_no_code_dead() -> None:
    """From a collapsed codebook, clusters that lie far apart get codes of their own."""
    centres = 5 * torch.eye(8)
    codes = VectorQuantiser(24, 8, normalise=False, decay=0.8, restart_below=0.1)
    collapsed = 0.01 * torch.randn(24, 8)
    codes.load_state_dict(
        {"codebook": collapsed, "sums": collapsed, "counts": torch.ones(24), "started": torch.tensor(True)}
    )
    for _ in range(100):
        x = centres[torch.randint(8, (4, 16))] + 0.1 * torch.randn(4, 16, 8)
        codes(x)
    assert len(set(codes.nearest(centres[None])[0].tolist())) == 8
    assert float(codes.counts.min()) >= 0.1 * float(codes.counts.mean()) - 1e-4
    distance = torch.cdist(centres, codes.codebook).min(dim=1).values
    assert float(distance.max()) < 0.3


def test_masked_frames_move_no_code() -> None:
    one, other = (VectorQuantiser(4, 3, True, 0.9, 0.0) for _ in range(2))
    x = torch.randn(2, 6, 3)
    mask = torch.arange(6)[None].expand(2, 6) < 4
    poisoned = x.masked_fill(~mask[..., None], 100.0)
    for codes, batch in ((one, x), (other, poisoned)):
        torch.manual_seed(3)
        codes(batch, mask)
    torch.testing.assert_close(one.codebook, other.codebook)


def test_evaluation_changes_nothing() -> None:
    codes = VectorQuantiser(4, 3, True, 0.9, 0.1).eval()
    before = {key: value.clone() for key, value in codes.state_dict().items()}
    codes(torch.randn(2, 6, 3))
    assert all(torch.equal(before[key], value) for key, value in codes.state_dict().items())


def test_token_usage() -> None:
    usage = token_usage(torch.tensor([2, 2, 0, 2, 2, 0]))
    assert float(usage["perplexity"]) == pytest.approx(4) and int(usage["codes_used"]) == 4
    assert float(token_usage(torch.tensor([0, 7]))["perplexity"]) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["vq", "fsq"])
def test_all_codes_are_in_use_from_the_first_steps(kind: str) -> None:
    """Though fresh latents hardly differ from frame to frame."""
    config = QuantiserConfig(kind=kind, codebook_size=64, dim=8, levels=(4, 4, 4))
    quantiser = Quantiser(config, 16).train()
    for _ in range(5):
        found = quantiser(5 + 0.01 * torch.randn(8, 80, 16))
    counts = torch.bincount(found.tokens.flatten(), minlength=64)
    assert float(token_usage(counts)["perplexity"]) > 30
