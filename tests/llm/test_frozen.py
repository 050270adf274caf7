"""The frozen LLM: frozen in every way, and equal to the transformers model it wraps."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from freeze_omni.llm.chat import ChatTemplateError
from freeze_omni.llm.frozen import FrozenLLM, LlmError
from tests.toy import toy_llm

KINDS = ["qwen2", "smollm", "llama", "gemma"]


class Parent(nn.Module):
    """A model as the training stages build it: something trained next to the LLM."""

    def __init__(self, llm):
        super().__init__()
        self.adapter = nn.Linear(4, llm.hidden_size)
        self.llm = llm

    def forward(self, x):
        return self.llm.logits(self.llm(self.adapter(x))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_wrapped_model(folders, kind):
    llm = FrozenLLM.load(folders[kind])
    ids = torch.tensor([llm.chat.dialogue("Be brief.", [("Hello Anna", None)])])
    with torch.no_grad():
        expected = llm.model(ids).logits
    torch.testing.assert_close(llm.logits(llm(llm.embed(ids))[0]), expected)


@pytest.mark.parametrize(("kind", "scale"), [("granite", {"logits_scaling": 7.0}), ("cohere", {"logit_scale": 0.3})])
def test_scaled_logits_too(kind, scale, llm):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=360, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, **scale,
    )  # fmt: skip
    FrozenLLM(AutoModelForCausalLM.from_config(config), llm.tokenizer).check_logits()


def test_an_unknown_change_of_the_logits_is_an_error(folders):
    llm = FrozenLLM.load(folders["gemma"])
    llm.model.config.final_logit_softcapping = 3.0
    llm.check_logits()
    llm.logits = lambda hidden: llm.model.lm_head(hidden)
    with pytest.raises(LlmError, match="FrozenLLM.logits"):
        llm.check_logits()


def test_never_in_train_mode(llm):
    parent = Parent(llm).train()
    assert parent.training and not any(module.training for module in llm.modules())


def test_gradients_flow_through_and_never_in(llm):
    parent = Parent(llm).train()
    parent(torch.randn(2, 5, 4)).square().mean().backward()
    assert parent.adapter.weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in llm.parameters())


def test_in_no_state_dict_and_not_missed_by_a_strict_load(llm, folders):
    parent = Parent(llm)
    state = parent.state_dict()
    assert set(state) == {"adapter.weight", "adapter.bias"}
    before = llm.fingerprint()
    assert Parent(llm).load_state_dict(state, strict=True).missing_keys == []
    wrapped = nn.Sequential(Parent(llm))  # one prefix deeper, as in DDP
    wrapped.load_state_dict({f"0.{key}": value for key, value in state.items()}, strict=True)
    assert llm.fingerprint() == before


def test_a_strict_load_still_misses_what_is_ours_and_refuses_llm_weights(llm):
    parent, before = Parent(llm), llm.fingerprint()
    state = parent.state_dict()
    with pytest.raises(RuntimeError, match="adapter.bias"):
        parent.load_state_dict({"adapter.weight": state["adapter.weight"]})
    name, weight = next(iter(llm.model.named_parameters()))
    with pytest.raises(RuntimeError, match="Unexpected"):
        parent.load_state_dict({**state, f"llm.model.{name}": torch.zeros_like(weight)})
    assert llm.fingerprint() == before


def test_padding_may_hold_anything_and_moves_nothing(llm):
    embeds = torch.randn(2, 7, llm.hidden_size)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    alone = llm(embeds[1:, :4])[0][0]
    embeds[1, 4:] = torch.nan
    hidden, cache = llm(embeds, mask)
    assert cache is None
    torch.testing.assert_close(hidden[1, :4], alone)
    torch.testing.assert_close(hidden[0], llm(embeds[:1])[0][0])


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_all_at_once(folders, kind):
    llm = FrozenLLM.load(folders[kind])
    embeds = torch.randn(1, 23, llm.hidden_size)
    whole, cache, parts = llm(embeds)[0], llm.new_cache(), []
    for piece in embeds.split([9, 1, 2, 2, 1, 8], dim=1):
        parts.append(llm(piece, cache=cache)[0])
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=2e-5, rtol=1e-4)
    assert cache.length == 23


def test_the_fingerprint_sees_one_changed_weight(folders):
    llm = FrozenLLM.load(folders["llama"])
    before = llm.fingerprint()
    assert before == FrozenLLM.load(folders["llama"]).fingerprint()
    llm.model.get_input_embeddings().weight[3, 3] += 1
    assert llm.fingerprint() != before


def test_meta_build_needs_no_weights(folders, tmp_path):
    folder = shutil.copytree(folders["qwen2"], tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    llm = FrozenLLM.on_meta(folder)
    assert all(p.is_meta for p in llm.parameters()) and llm.hidden_size == 48
    mapping = json.loads((folder / "config.json").read_text())
    assert FrozenLLM.on_meta(mapping).vocab_size == llm.vocab_size


def test_half_precision_is_kept(folders):
    llm = FrozenLLM.load(folders["qwen2"], dtype="bfloat16")
    hidden = llm(torch.randn(1, 3, llm.hidden_size))[0]
    assert hidden.dtype == torch.bfloat16
    with pytest.raises(LlmError, match="float99"):
        FrozenLLM.load(folders["qwen2"], dtype="float99")


def test_errors_name_the_path_and_the_fix(tmp_path):
    with pytest.raises(LlmError, match="no such folder"):
        FrozenLLM.load(tmp_path / "nothing")
    with pytest.raises(LlmError, match="config.json"):
        FrozenLLM.load(tmp_path)
    (tmp_path / "model.gguf").touch()
    with pytest.raises(LlmError, match="GGUF"):
        FrozenLLM.load(tmp_path)


def test_no_chat_template_is_an_error_before_the_weights(tmp_path):
    folder = toy_llm(tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ChatTemplateError, match="chat_template.jinja"):
        FrozenLLM.load(folder)
