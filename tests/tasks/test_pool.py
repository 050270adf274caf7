"""Stage 1.2 and 1.3 with the adapter at token rate, which is taught by the words of the transcript."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.words import spell
from freeze_omni.llm.units import spelled_words
from tests.tasks.conftest import POOL, WARM
from tests.tasks.corpus import TEXTS


def test_positions_are_the_tokens_of_the_words(spoken):
    model, args = spoken.build("1.2_pool")
    batch = spoken.batch("1.2_pool", args)
    out = model.train().listen_for(batch, lambda out: model._said(out, batch))
    ids = spell(model.adapter.ids, out.said, torch.zeros(4).bool(), out.said.ends.shape[1]).ids
    texts = [model.llm.tokenizer.decode(row[row >= 0]).strip() for row in ids]
    assert texts == [" ".join(spelled_words(text)).capitalize() for text in TEXTS]
    assert out.adapted.lengths.tolist() == (ids >= 0).sum((1, 2)).tolist()


def test_it_meets_the_embeddings_first_and_then_asks_the_llm(spoken):
    model, args = spoken.build("1.2_pool")
    batch = spoken.batch("1.2_pool", args)
    calls = []
    model.llm.register_forward_hook(lambda *_: calls.append(1))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 5e-3)
    nearest = []
    for _ in range(60):
        loss, stats, _ = model.train()(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        nearest.append(float(stats["nearest"]))
    assert not calls and nearest[0] < 0.2 and nearest[-1] > 0.6
    model.progress = 0.5
    loss, stats, _ = model(**batch)
    assert calls and {"acc", "nearest"} <= set(stats)
    loss.backward()
    assert model.task_tokens.weight.grad.any() and model.adapter.project.weight.grad.any()


def test_validation_hears_what_the_search_finds(spoken):
    model, args = spoken.build("1.2_pool")
    batch = spoken.batch("1.2_pool", args)
    found = []
    model.search.register_forward_hook(lambda *_: found.append(1))
    model.train()(**batch)
    assert not found
    other = batch | {"words": torch.zeros_like(batch["words"])}
    assert float(model.eval()(**batch)[0]) == float(model(**other)[0]) and found


def test_the_dialogue_stage_takes_it_over(spoken):
    model, args = spoken.build("1.3_pool")
    loss, stats, _ = model.train()(**spoken.batch("1.3_pool", args))
    assert torch.isfinite(loss).all() and not any(p.requires_grad for p in model.adapter.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "answers", "warm_start": None}, "targets: transcript"),
        ({"adapter": {"words": {}}, "warm_start": WARM}, "adapters conv and pool"),
        ({"adapter": {"conv": {}}, "warm_start": WARM}, "later is for the adapter pool"),
    ],
)
def test_what_does_not_go_together_is_refused(spoken, change, message):
    with pytest.raises(ValueError, match=message):
        spoken.build("1.2_pool", model=POOL | change)
