"""Many dialogues in one pass: each gets what it gets alone, from every kind of LLM."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn

from freeze_omni.llm import batch
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import build_tuning, tuned
from tests.llm.zoo import zoo_llm
from tests.toy import KINDS, TUNINGS, as_if_learned, toy_llm


@pytest.fixture(scope="module", params=KINDS)
def llm(request, tmp_path_factory):
    return FrozenLLM.load(toy_llm(tmp_path_factory.mktemp(request.param), request.param))


def alone(llm, pieces):
    cache = llm.new_cache()
    return [llm(piece[None], cache=cache)[0][0] for piece in pieces]


def test_rows_of_any_age_and_length_are_read_as_alone(llm):
    rows = [[torch.randn(n, llm.hidden_size) for n in sizes] for sizes in ((5, 1, 4), (1, 3, 1), (90, 1, 300))]
    caches = [llm.new_cache() for _ in rows]
    for step in range(3):
        found = llm.read_rows([row[step] for row in rows], caches)
        for row, hidden in zip(rows, found, strict=True):
            torch.testing.assert_close(hidden, alone(llm, row)[step], rtol=1e-5, atol=1e-5)
    assert [cache.length for cache in caches] == [10, 5, 391]


def test_a_row_does_not_see_its_company(llm):
    row = torch.randn(3, llm.hidden_size)
    first = llm.read_rows([row, torch.randn(2, llm.hidden_size)], [llm.new_cache(), llm.new_cache()])[0]
    second = llm.read_rows([row, 100 * torch.ones(2, llm.hidden_size)], [llm.new_cache(), llm.new_cache()])[0]
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_the_mask_of_a_row_is_made_once_for_all_layers(llm, monkeypatch):
    made, real = [], batch._mask
    monkeypatch.setattr(batch, "_mask", lambda *kind: made.append(kind) or real(*kind))
    llm.read_rows([torch.randn(size, llm.hidden_size) for size in (3, 2)], [llm.new_cache(), llm.new_cache()])
    assert len(llm.new_cache().layers) > 1 and {kind[:2] for kind in made} == {(2, 2), (3, 3)}
    assert len(made) == len(set(made))


def test_plain_passes_stay_what_they_were(llm):
    row = torch.randn(1, 6, llm.hidden_size)
    mask = torch.tensor([[True, True, True, True, False, False]])
    before = llm(row, mask)[0], llm(row)[0]
    llm.read_rows([row[0]], [llm.new_cache()])
    after = llm(row, mask)[0], llm(row)[0]
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def varlen_by_its_documentation(query, key, value, ends_q, ends_k, max_q, max_k, *, scale, window_size, enable_gqa):
    """As torch's varlen_attn, whose kernel needs a GPU: causal, `left` positions back and the own one."""
    given = (x.to("meta") for x in (query, key, value, ends_q, ends_k))
    checked = varlen_attn(*given, max_q, max_k, scale=scale, window_size=window_size, enable_gqa=enable_gqa)
    left, right = window_size
    assert right == 0 and ends_q.dtype == ends_k.dtype == torch.int32
    assert (max_q, max_k) == (int(ends_q.diff().max()), int(ends_k.diff().max()))
    found = []
    for (first, end), (first_k, end_k) in zip(pairwise(ends_q.tolist()), pairwise(ends_k.tolist()), strict=True):
        own = torch.arange(end - first)[:, None] + (end_k - first_k) - (end - first)
        back = own - torch.arange(end_k - first_k)
        mask = (back >= 0) & ((back <= left) if left >= 0 else True)
        parts = query[first:end], key[first_k:end_k], value[first_k:end_k]
        parts = (part.transpose(0, 1) for part in parts)
        out = F.scaled_dot_product_attention(*parts, attn_mask=mask, scale=scale, enable_gqa=enable_gqa)
        found.append(out.transpose(0, 1))
    assert checked.shape == query.shape, "torch takes these arguments, and gives what is taken from it"
    return torch.cat(found)


@pytest.mark.parametrize("kind", ["qwen2", "mistral"])  # of which one has a window
@pytest.mark.parametrize("sizes", [(4, 9, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("tuning", [None, "prefix"])
def test_rows_together_in_one_kernel_are_what_they_are_row_by_row(kind, sizes, tuning, tmp_path, monkeypatch):
    llm = FrozenLLM.load(zoo_llm(tmp_path, kind))
    llm = tuned(llm, None if tuning is None else as_if_learned(build_tuning(TUNINGS[tuning], llm)))
    embeds = torch.randn(len(sizes), max(sizes), llm.hidden_size)
    mask = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
    expected, calls = llm(embeds, mask)[0], []
    monkeypatch.setattr(batch, "_has_varlen", lambda query: calls.append(1) or True)
    monkeypatch.setattr(batch, "varlen_attn", varlen_by_its_documentation)
    torch.testing.assert_close(llm(embeds, mask)[0], expected, rtol=1e-4, atol=1e-4)
    assert calls
    monkeypatch.setattr(batch, "varlen_attn", None)  # sessions have their keys apart
    llm.read_rows([row[:1] for row in embeds], [llm.new_cache() for _ in sizes])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["qwen2", "gpt2"])  # of which one ends in a LayerNorm
def test_packed_passes_under_autocast_are_near_those_of_single_rows(kind, dtype, tmp_path):
    llm = FrozenLLM.load(zoo_llm(tmp_path, kind), dtype=dtype)
    embeds = torch.randn(2, 7, llm.hidden_size)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, alone = llm(embeds, mask)[0], llm(embeds[1:, :3])[0]
    assert float((found[1, :3] - alone[0]).norm() / alone.norm()) < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch's kernel for rows of any lengths needs a GPU")
def test_the_kernel_on_a_gpu(tmp_path):
    llm = FrozenLLM.load(zoo_llm(tmp_path, "qwen2"), dtype="bfloat16", device="cuda")
    embeds = torch.randn(2, 9, llm.hidden_size, device="cuda", requires_grad=True)
    mask = torch.arange(9, device="cuda") < torch.tensor([[9], [4]], device="cuda")
    found = []
    for llm.packing in (True, False):
        hidden = llm(embeds, mask)[0][mask]
        found.append((hidden, *torch.autograd.grad(hidden.float()[:, 0].sum(), embeds)))
    torch.testing.assert_close(*found, rtol=0.1, atol=0.1)
