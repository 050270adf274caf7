"""What trains and what is frozen, in every stage (paper sections 3.1 and 3.3)."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.bin.train import load_task
from tests.tasks.conftest import STAGES

# Exactly what changes in an optimiser step, by prefix.
LEARNS = {
    "1.0": {"frontend"},
    "1.1_adapted": {"encoder", "ctc"},
    "1.1": {"encoder", "ctc", "spelling"},
    "1.2_ctc": {"encoder", "ctc", "adapter", "task_tokens"},
    "1.2_conv": {"encoder", "adapter", "task_tokens"},
    "1.3": {"prompt", "state_head"},
    "2.2": {f"speech_decoder.{part}" for part in ("nar_rows", "nar", "embedding", "ar", "norm", "output")},
    "2.3": {"speech_decoder.prefix_rows", "speech_decoder.prefix"},
    "1.2_lora": {"encoder", "adapter", "task_tokens", "llm_tuning"},
    "1.3_lora": {"prompt", "state_head", "llm_tuning"},
    "1.3_prefix": {"prompt", "state_head", "llm_tuning"},
    "2.3_prefix": {"speech_decoder.prefix_rows", "speech_decoder.prefix"},
    "1.1_pretrained": {"encoder", "ctc", "spelling"},
    "1.2_pretrained": {"encoder", "ctc", "adapter", "task_tokens"},
    "1.3_pretrained": {"prompt", "state_head"},
}


def group(stage: str, name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if stage.startswith("2") else parts[0]


@pytest.fixture(params=list(STAGES))
def trained(request, toy):
    """Stage, model after two optimiser steps, its weights before, the LLM's fingerprint before."""
    stage = request.param
    model, args = toy.build(stage)
    batch = toy.batch(stage, args)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    llm = getattr(model, "llm", None)
    mark = llm.fingerprint() if hasattr(llm, "fingerprint") else None
    task = load_task(STAGES[stage][0])
    (optimizer,) = task.build_optimizers(args, model)
    for _ in range(2):  # a part that begins at zero gets the rest its gradient in the second
        model.train()
        loss, stats, weight = model(**batch)
        assert loss.isfinite() and weight == len(batch["tokens" if "tokens" in batch else "speech"])
        assert torch.equal(stats["loss"], loss.detach()) or stage == "2.2" or stage == "2.3"
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return stage, model, before, mark


def test_only_the_named_parts_change(trained):
    stage, model, before, _ = trained
    changed = {group(stage, name) for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == LEARNS[stage]


def test_llm_is_never_touched(trained):
    stage, model, _, mark = trained
    llm = getattr(model, "llm", None)
    if stage.startswith(("1.0", "1.1")):
        assert llm is None
        return
    model.train()
    assert not any(module.training for module in llm.modules())
    assert not any(weight.requires_grad for weight in llm.parameters())
    assert mark is None or llm.fingerprint() == mark
    assert stage == "2.2" or mark is not None  # 2.2 has the embedding alone


def test_frozen_parts_stay_in_eval_mode(trained):
    stage, model, _, _ = trained
    model.train()
    tops = {name.split(".")[0] for name in LEARNS[stage]}
    for name, part in model.named_children():
        if any(True for _ in part.parameters()):
            assert part.training == (name in tops and stage != "1.0"), name  # 1.0 draws no dropout
    if stage == "2.3":
        assert not any(module.training for module in model.speech_decoder.ar.modules())
        assert all(module.training for module in model.speech_decoder.prefix.modules())


def test_checkpoint_holds_what_was_trained_and_fits_again(trained, toy):
    stage, model, _, _ = trained
    state = model.state_dict()
    kept = (
        {"frontend"} if stage in ("1.1_adapted", "1.1_pretrained", "1.2_pretrained") else set()
    )  # frozen, for later stages
    assert {key.split(".")[0] for key in state} == {name.split(".")[0] for name in LEARNS[stage]} | kept
    other, _ = toy.build(stage)
    other.load_state_dict(state)
    for key, value in other.state_dict().items():
        assert torch.equal(value, state[key]), key
    some = next(iter(state))
    with pytest.raises(RuntimeError, match="lacks"):
        other.load_state_dict({key: value for key, value in state.items() if key != some})
