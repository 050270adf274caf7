"""Stage 1.2: the convolution's warm start on words and its filler, and answers next to transcripts."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.units import spelled_words
from freeze_omni.tasks.alignment import WarmTargets, aligned_tokens, filler_loss
from tests.tasks.conftest import CONV, POOL
from tests.tasks.corpus import TEXTS
from tests.toy import toy_llm


def learn(model, batch, steps, rate=5e-3):
    """Statistics of each step."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    found = []
    for _ in range(steps):
        loss, stats, _ = model.train()(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(stats)
    return found


def test_tokens_of_a_word_stand_from_its_end():
    spelled = torch.tensor([[[40, 50, -1], [30, -1, -1]], [[50, 30, 40], [-1, -1, -1]]])
    until = torch.tensor([[2, 7], [3, 0]])
    found = aligned_tokens(spelled, until, torch.tensor([30, 40, 50]), torch.tensor([5, 3]), 2, 5)
    assert found.tolist() == [[0, 2, 3, 1, 0], [0, 3, 1, 0, 0]], "what no longer fits is lost"


def test_the_convolution_meets_the_tokens_of_words_where_the_units_are_letters(spoken):
    model, args = spoken.build("1.2_conv_words", model=CONV | {"learned_filler": False})
    batch = spoken.batch("1.2_conv_words", args)
    assert not hasattr(model, "search"), "a search for every batch, whose words it does not read"
    wanted = model._wanted(model.train().listen(batch["speech"], batch["speech_lengths"]), batch)
    ids = torch.nn.functional.pad(model.warm_targets.ids, (1, 0), value=-1)[wanted]
    texts = [model.llm.tokenizer.decode(row[row >= 0]).strip() for row in ids]
    whole = [" ".join(spelled_words(text)).capitalize() for text in TEXTS]
    assert any(texts) and all(text == whole[row][: len(text)] for row, text in enumerate(texts))
    found = [float(stats["loss"]) for stats in learn(model, batch, 25)]
    assert found[-1] < 0.7 * found[0]
    model.progress = 0.5
    assert "acc" in model(**batch)[1]


def test_a_filler_is_learned_first_and_the_llm_minds_it_less(spoken):
    model, args = spoken.build("1.2_conv_words")
    batch = spoken.batch("1.2_conv_words", args)
    assert "filler" in model.saved and model.filler.weight.shape == (1, model.llm.hidden_size)
    minds = [float(stats["kl_filler"]) for stats in learn(model, batch, 40, 2e-2)]
    assert minds[-1] < 0.7 * minds[0]
    model.progress = 0.2 * 0.5
    model.zero_grad()
    loss, stats, _ = model(**batch)
    loss.backward()
    assert "nearest" in stats and model.filler.weight.grad is None, "it is a target now"
    assert model.adapter.project.weight.grad.any()


def test_a_text_without_fillers_is_not_minded(tmp_path):
    llm = FrozenLLM.load(str(toy_llm(tmp_path / "llm")))
    ids = torch.tensor([5, 9, 12])
    table = torch.cat([torch.randn(1, llm.hidden_size), llm.embed(ids).detach()])
    targets, filler = WarmTargets(table, ids), torch.randn(llm.hidden_size)
    alone = filler_loss(llm, filler, torch.tensor([[1, 3, 2], [2, 1, 0]]), torch.tensor([3, 2]), targets)
    between = filler_loss(llm, filler, torch.tensor([[1, 0, 3, 0, 2]]), torch.tensor([5]), targets)
    assert abs(float(alone)) < 1e-5 < float(between)


BOTH = {"targets": "both", "kl_weight": 0.5}


@pytest.mark.parametrize("name", ["1.2_conv_words", "1.2_pool"])
def test_rows_with_an_answer_are_answered_and_others_transcribed(spoken, name):
    """Turns 0 and 2 have an answer."""
    base = {"adapter": {"conv": {}}, "still_encoder": True} if "conv" in name else POOL
    model, args = spoken.build(name, model=base | BOTH)
    batch = spoken.batch(name, args)
    loss, stats, _ = model.train()(**batch)
    assert {"acc", "acc_answer", "loss_answer", "kl"} <= set(stats)
    rows = {name: value[1::2] for name, value in batch.items()}
    silent, found, _ = model(**rows)
    assert not torch.isnan(found["acc"]) and torch.isnan(found["loss_answer"]) and torch.isnan(found["kl"])
    answered = {name: value[::2] for name, value in batch.items()}
    own, found, _ = model(**answered)
    assert torch.isnan(found["acc"]) and float(found["kl"]) > 0
    own.backward()
    assert model.adapter.project.weight.grad.any() and not model.task_tokens.weight.grad.any()
    if "conv" in name:  # pool has dropout in its layers of attention
        assert float(loss) == pytest.approx((float(silent) + float(own)) / 2, rel=1e-3)


def test_what_does_not_go_together_is_refused(spoken):
    with pytest.raises(ValueError, match="learned_filler is for the warm start of the adapter conv"):
        spoken.build("1.2_pool", model=POOL | {"learned_filler": True})
    with pytest.raises(ValueError, match="targets: answers, or both"):
        spoken.build("1.2_pool", model=POOL | {"kl_weight": 1.0})
    with pytest.raises(ValueError, match="kernel 3 would leave out frames at stride 4"):
        ConvAdapterConfig(kernel=3, stride=4)
