"""Layers that are computed again in backward: the same gradients, fewer values kept, never in train mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.recompute import decoder_layers, recomputed
from freeze_omni.llm.source import LlmError
from freeze_omni.llm.tuned import build_tuning, tuned
from tests.toy import TUNINGS, as_if_learned

MASK = torch.arange(12) < torch.tensor([[12], [7]])


def kept_and_gradients(llm: FrozenLLM) -> tuple[int, list[torch.Tensor]]:
    """Values that the pass keeps for backward, and the gradients of embeddings and of what is learned."""
    kept: dict[int, int] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        if not x.requires_grad or not x.is_leaf:  # no weights
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    embeds = torch.randn(2, 12, llm.hidden_size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = [embeds, *(llm.tuning.parameters() if llm is not llm.plain else ())]
    weights = {weight.untyped_storage().data_ptr() for weight in (*llm.parameters(), *wanted)}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        hidden = llm(embeds, MASK)[0]
    loss = (hidden[MASK] * torch.arange(llm.hidden_size)).sum()  # norms make squares the same whatever was read
    gradients = torch.autograd.grad(loss, wanted)
    assert all(gradient.abs().max() > 1e-2 for gradient in gradients)
    return sum(size for place, size in kept.items() if place not in weights), list(gradients)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma"])
@pytest.mark.parametrize("tuning", [None, *TUNINGS])
def test_gradients_are_the_same_and_less_is_kept(folders, kind, tuning, packing):
    plain = FrozenLLM.load(folders[kind])
    plain.packing = packing
    learned = None if tuning is None else as_if_learned(build_tuning(TUNINGS[tuning], plain))
    usual, expected = kept_and_gradients(tuned(plain, learned))
    plain.checkpointing = True
    llm = tuned(plain, learned)
    kept, found = kept_and_gradients(llm.train())
    torch.testing.assert_close(found, expected)
    assert kept < usual / 3
    assert not any(module.training for module in llm.modules())
    assert not any("forward" in vars(layer) for layer in decoder_layers(plain.model.get_decoder()))


def test_a_pass_without_gradient_computes_each_layer_once(folders):
    llm = FrozenLLM.load(folders["qwen2"])
    llm.checkpointing, calls = True, []
    for layer in llm.model.get_decoder().layers:
        layer.self_attn.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        llm(torch.randn(1, 3, llm.hidden_size))
    assert len(calls) == 2
    llm(torch.randn(1, 3, llm.hidden_size, requires_grad=True))[0].sum().backward()
    assert len(calls) == 2 + 2 * 2


def test_a_decoder_without_known_layers_is_refused():
    with (
        pytest.raises(LlmError, match="Linear has no layers .* leave llm_checkpointing and llm_sharding out"),
        recomputed(nn.Linear(2, 2), None),
    ):
        pass
