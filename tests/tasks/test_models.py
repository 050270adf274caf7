"""What the models of the stages read and are asked for, on a toy LLM."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.llm.generate import GenerationConfig, generate
from tests.tasks.corpus import ENCODER


def test_encoder_model_counts_errors_in_validation_only(toy):
    model, args = toy.build("1.1")
    batch = toy.batch("1.1", args)
    _, stats, weight = model.train()(**batch)
    assert "unit_error" not in stats and weight.tolist() == [4.0]
    loss, stats, _ = model.eval()(**batch)
    assert stats["unit_error"] > 0 and float(loss) == float(stats["units"])


def test_spelling_is_a_share_of_the_training_loss(toy):
    model, args = toy.build("1.1")
    batch = toy.batch("1.1", args)
    assert batch["spelling"].max() <= 256 and batch["spelling_lengths"].min() > 0
    loss, stats, _ = model.train()(**batch)
    assert float(loss) == pytest.approx(0.5 * float(stats["units"]) + 0.5 * float(stats["spelling"]))


def test_letters_alone_ask_nothing_of_units_and_later_blocks(toy):
    model, args = toy.build("1.1", model={"encoder": ENCODER | {"layers": 2}, "spelling": {"layer": 1, "alone": 0.5}})
    batch = toy.batch("1.1", args)
    model.progress = 0.49
    loss, stats, _ = model.train()(**batch)
    loss.backward()
    assert set(stats) == {"loss", "spelling"} and float(loss) == float(stats["spelling"])
    assert model.ctc.output.weight.grad is None and model.encoder.blocks[1].norm1.weight.grad is None
    assert model.encoder.blocks[0].norm1.weight.grad.abs().sum() > 0
    assert "units" in model.eval()(**batch)[1]
    model.progress = 0.5
    assert {"units", "spelling"} <= set(model.train()(**batch)[1])


def test_a_prompt_starts_as_the_system_turn_over_and_over(toy):
    model, _ = toy.build("1.3", system="Be brief.")
    ids = torch.tensor(model.llm.tokenizer("Be brief.", add_special_tokens=False)["input_ids"])
    rows = model.llm.embed(ids).float()
    assert torch.equal(model.prompt.weight, torch.cat([rows] * 5)[:5])


def test_transcript_loss_is_that_of_one_row_at_a_time(toy):
    """Rows of different lengths in one batch: the padding between and after them counts nothing."""
    model, args = toy.build("1.2_conv")
    model.eval()
    batch = toy.batch("1.2_conv", args)
    together = model(**batch)[0]
    sums, tokens = 0.0, 0
    for row in range(4):
        alone = {name: value[row : row + 1] for name, value in batch.items()}
        alone["speech"] = alone["speech"][:, : alone["speech_lengths"]]
        alone["text"] = alone["text"][:, : alone["text_lengths"]]
        count = int(alone["text_lengths"]) + 1
        sums, tokens = sums + float(model(**alone)[0]) * count, tokens + count
    assert float(together) == pytest.approx(sums / tokens, rel=1e-4)


def test_warm_start_takes_its_share_of_the_training_and_skips_the_llm(toy):
    model, args = toy.build("1.2_conv", model={"adapter": {"conv": {}}, "warm_start": {"share": 0.5}})
    batch = toy.batch("1.2_conv", args)
    calls = []
    model.llm.register_forward_hook(lambda *_: calls.append(1))
    model.progress = 0.49
    assert "nearest" in model.train()(**batch)[1] and not calls
    assert "acc" in model.eval()(**batch)[1] and len(calls) == 1  # validation always asks the LLM
    model.progress = 0.5
    assert "acc" in model.train()(**batch)[1] and len(calls) == 2


def test_warm_start_can_be_learnt(toy):
    model, args = toy.build(
        "1.2_conv", model={"adapter": {"conv": {}}, "warm_start": {"share": 1.0}, "ctc_weight": 0.1}
    )
    batch = toy.batch("1.2_conv", args)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(25):
        loss, stats, _ = model.train()(**batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


def test_a_turn_without_an_answer_has_no_answer_loss(toy):
    model, args = toy.build("1.3")
    batch = toy.batch("1.3", args)
    assert (batch["answer_lengths"] > 0).tolist() == [True, False, True, False]
    model.eval()
    silent = {name: value[1::2] for name, value in batch.items()}
    _, stats, _ = model(**silent)
    assert stats["loss_answer"] == 0 and stats["loss_state"] > 0
    changed = batch | {"answer": batch["answer"].clone()}
    changed["answer"][1::2] = 7  # after its length of zero
    assert model(**changed)[1]["loss_answer"] == model(**batch)[1]["loss_answer"]


def test_state_is_read_where_a_session_reads_it(toy):
    """Chunk by chunk through the streaming parts, against the one pass of training."""
    model, args = toy.build("1.3")
    model.eval()
    batch = {name: value[2:3] for name, value in toy.batch("1.3", args).items()}
    seen = []
    model.state_head.register_forward_hook(lambda _, inputs, output: seen.append(output[0]))
    model(**batch)
    chunks = int(batch["states_lengths"])
    offline = seen.pop()[:chunks]
    llm, cache = model.llm, model.llm.new_cache()
    opening = torch.cat([llm.embed(batch["context"])[0], model.prompt.weight])
    hidden, _ = llm(opening[None], cache=cache)
    parts = (model.frontend, model.encoder, model.adapter)
    fbank, encoder, adapter = (part.initial_state(1) for part in parts)
    last = hidden[:, -1:]
    for chunk in batch["speech"].split(2560, dim=1)[:chunks]:
        feats, fbank = model.frontend.step(chunk, fbank)
        frames, encoder = model.encoder.step(feats, encoder)
        sent, adapter = model.adapter.step(frames, adapter, ctc_logits=model.ctc(frames))
        if int(sent.lengths[0]):
            last = llm(sent.embeds, cache=cache)[0][:, -1:]
        model.state_head(last, sent.summary)
    assert len(seen) == len(offline)
    torch.testing.assert_close(torch.cat(seen), offline, rtol=1e-3, atol=1e-4)


def test_hidden_states_are_those_of_the_llm_while_it_answers(toy):
    model, args = toy.build("2.3")
    batch = toy.batch("2.3", args)
    llm, context = model.llm, batch["context"][:1, : batch["context_lengths"][0]]
    cache = llm.new_cache()
    hidden, _ = llm(llm.embed(context), cache=cache)
    config = GenerationConfig(max_new_tokens=6)
    answer, states = zip(*generate(llm, hidden[0, -1], cache, config), strict=True)
    context = context, batch["context_lengths"][:1]
    found, _ = model.answer_states(context, (torch.tensor([answer]), torch.tensor([len(answer)])))
    torch.testing.assert_close(found[0], torch.stack(states), rtol=1e-3, atol=1e-4)


def test_hidden_states_of_an_answer_are_computed_once(toy, monkeypatch):
    model, args = toy.build("2.3")
    model.eval()
    batch, read = toy.batch("2.3", args), []
    monkeypatch.setattr(model.llm, "forward", lambda *some, forward=model.llm.forward: read.append(0) or forward(*some))
    losses = [float(model(**batch)[0]) for _ in range(2)]
    assert len(read) == 1 and losses[0] == losses[1]
    rows = {name: value[1:] for name, value in batch.items()}
    rows["context"] = torch.cat([rows["context"][:1] + 1, rows["context"][1:]])  # another question before the answer
    model(**rows)
    assert len(read) == 2
