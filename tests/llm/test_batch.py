"""Many dialogues in one pass: each gets what it gets alone, from every kind of LLM."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.llm import batch
from freeze_omni.llm.frozen import FrozenLLM
from tests.toy import KINDS, toy_llm


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
