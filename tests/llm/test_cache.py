"""The LLM's cache: growing, forking, cutting back, ragged rows."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.llm.cache import GROW_POSITIONS
from freeze_omni.llm.frozen import FrozenLLM


@pytest.fixture(params=["qwen2", "gemma"])
def model(request, folders):
    return FrozenLLM.load(folders[request.param])


def read(model, embeds, cache=None, mask=None):
    return model(embeds, mask, cache if cache is not None else model.new_cache())


def close(a, b):
    torch.testing.assert_close(a, b, atol=3e-5, rtol=1e-3)


def test_grows_past_its_first_room(model):
    embeds = torch.randn(1, GROW_POSITIONS + 20, model.hidden_size)
    cache = model.new_cache()
    for piece in embeds.split(50, dim=1):
        last, _ = read(model, piece, cache)
    close(last, model(embeds)[0][:, -last.shape[1] :])


def test_a_fork_is_independent(model):
    system, one, two = (torch.randn(1, n, model.hidden_size) for n in (6, 4, 5))
    _, cache = read(model, system)
    fork = cache.fork()
    first, _ = read(model, one, cache)
    second, _ = read(model, two, fork)
    close(first, model(torch.cat([system, one], 1))[0][:, 6:])
    close(second, model(torch.cat([system, two], 1))[0][:, 6:])
    assert (cache.length, fork.length) == (10, 11)


def test_what_is_cut_is_forgotten(model):
    kept, dropped, new = (torch.randn(1, n, model.hidden_size) for n in (6, 9, 3))
    _, cache = read(model, torch.cat([kept, dropped], 1))
    cache.cut(6)
    assert cache.length == 6
    close(read(model, new, cache)[0], model(torch.cat([kept, new], 1))[0][:, 6:])


def test_rows_of_different_length_go_on_together(model):
    first, second = torch.randn(2, 7, model.hidden_size), torch.randn(2, 3, model.hidden_size)
    mask = torch.tensor([[True] * 7, [True] * 2 + [False] * 5])
    _, cache = read(model, first, mask=mask)
    hidden, _ = read(model, second, cache)
    close(hidden[:1], model(torch.cat([first, second], 1)[:1])[0][:, 7:])
    close(hidden[1:], model(torch.cat([first[1:, :2], second[1:]], 1))[0][:, 2:])


def test_picked_rows_go_on(model):
    first, second = torch.randn(3, 4, model.hidden_size), torch.randn(1, 2, model.hidden_size)
    _, cache = read(model, first)
    cache.pick(torch.tensor([2]))
    close(read(model, second, cache)[0], model(torch.cat([first[2:], second], 1))[0][:, 4:])


def test_sliding_windows_are_kept(folders):
    model = FrozenLLM.load(folders["gemma"])
    model.model.config.sliding_window = 4
    for layer in model.model.model.layers:
        layer.self_attn.sliding_window = layer.self_attn.sliding_window and 4
    embeds = torch.randn(1, 15, model.hidden_size)
    whole, cache = model(embeds)[0], model.new_cache()
    steps = torch.cat([read(model, piece, cache)[0] for piece in embeds.split([6, 1, 2, 6], 1)], 1)
    close(steps, whole)
    far = embeds.clone()
    far[:, 0] += 1
    assert not torch.equal(model(far)[0][:, -1], whole[:, -1])  # full attention in other layers
