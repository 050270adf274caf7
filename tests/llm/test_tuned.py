"""LoRA and learned prefixes: the LLM's weights stay, a dialogue is read alike in every way, every kind of LLM."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from freeze_omni.config import ConfigError, build
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.tuned import LlmTuningConfig, Lora, LoraConfig, TunedLLM, build_tuning, tuned
from tests.toy import TUNINGS, as_if_learned

KINDS = ["qwen2", "smollm", "llama", "gemma"]


def make(llm: FrozenLLM, name: str) -> TunedLLM:
    """The LLM with something learned next to it."""
    return tuned(llm, as_if_learned(build_tuning(TUNINGS[name], llm)))


@pytest.fixture(params=TUNINGS)
def name(request):
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_reading_gives_the_same(folders, kind, name):
    """All at once, padded in a batch, step by step, and packed with another dialogue of another age."""
    llm = make(FrozenLLM.load(folders[kind]), name)
    embeds = torch.randn(2, 23, llm.hidden_size)
    with torch.no_grad():
        whole = llm(embeds)[0]
        assert not torch.allclose(whole, llm.plain(embeds)[0], atol=1e-2), "nothing was learned"
        mask = torch.arange(23)[None] < torch.tensor([[23], [9]])
        padded = llm(embeds, mask)[0]
    near = {"atol": 2e-5, "rtol": 1e-4}
    torch.testing.assert_close(padded[0], whole[0], **near)
    torch.testing.assert_close(padded[1, :9], whole[1, :9], **near)
    cache, batch = llm.new_cache(), llm.new_cache()
    steps = torch.cat([llm(piece, cache=cache)[0] for piece in embeds[:1].split([9, 1, 2, 11], dim=1)], dim=1)
    torch.testing.assert_close(steps[0], whole[0], **near)
    assert cache.length == 23 + llm.own_positions
    first = llm(embeds[:, :12], mask[:, :12], batch)[0]
    torch.testing.assert_close(first[1, :9], whole[1, :9], **near)
    caches = [llm.new_cache(), llm.new_cache()]
    early = llm.read_rows([embeds[0, :5]], caches[:1])
    late = llm.read_rows([embeds[0, 5:], embeds[1]], caches)
    torch.testing.assert_close(torch.cat([early[0], late[0]]), whole[0], **near)
    torch.testing.assert_close(late[1], whole[1], **near)


def test_the_plain_llm_is_untouched_by_a_step(folders, name):
    plain = FrozenLLM.load(folders["qwen2"])
    embeds, before = torch.randn(1, 6, plain.hidden_size), plain.fingerprint()
    alone = plain(embeds)[0]
    llm = make(plain, name)
    llm.logits(llm(embeds)[0]).square().mean().backward()
    grads = [weight.grad for weight in llm.tuning.parameters()]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    assert not any(weight.requires_grad or weight.grad is not None for weight in plain.parameters())
    with torch.no_grad():
        for weight in llm.tuning.parameters():
            weight.sub_(weight.grad)
    assert plain.fingerprint() == llm.fingerprint() == before
    torch.testing.assert_close(plain(embeds)[0], alone, rtol=0, atol=0)
    assert not llm.state_dict() and llm.tuning not in list(llm.modules())


def test_a_fresh_lora_changes_nothing_and_a_fresh_prefix_is_what_the_llm_knows(llm):
    embeds = torch.randn(1, 5, llm.hidden_size)
    lora = tuned(llm, build_tuning(LlmTuningConfig(lora=LoraConfig()), llm))
    torch.testing.assert_close(lora(embeds)[0], llm(embeds)[0], rtol=0, atol=0)
    prefix = tuned(llm, build_tuning(TUNINGS["prefix"], llm))
    known = llm.embed(torch.tensor([llm.chat.system("You are a helpful assistant.")[:3]]))
    expected = llm(torch.cat([known, embeds], dim=1))[0][:, 3:]
    torch.testing.assert_close(prefix(embeds)[0], expected, atol=2e-5, rtol=1e-4)


def test_a_cache_after_a_prefix_can_be_cut_and_forked(folders):
    llm = make(FrozenLLM.load(folders["smollm"]), "prefix")
    embeds = torch.randn(1, 7, llm.hidden_size)
    cache = llm.new_cache()
    llm(embeds, cache=cache)
    fork = cache.fork()
    cache.cut(cache.length - 3)
    again = llm(embeds[:, 4:], cache=cache)[0]
    torch.testing.assert_close(again, llm(embeds)[0][:, 4:], atol=2e-5, rtol=1e-4)
    assert fork.length == 10
    cache.cut(0)  # as after a failed first pass: the prefix comes again
    torch.testing.assert_close(llm(embeds, cache=cache)[0], llm(embeds)[0], atol=2e-5, rtol=1e-4)


def test_greedy_answers_in_a_batch_are_those_of_single_runs(llm, name):
    changed = make(llm, name)
    prompts = [changed.chat.dialogue("Be kind.", [(text, None)]) for text in ("Hi", "What does a cow say?")]
    together = [answer.ids for answer in generate_batch(changed, prompts, GenerationConfig(5))]
    alone = [generate_batch(changed, [prompt], GenerationConfig(5))[0].ids for prompt in prompts]
    assert together == alone


def test_projections_of_another_architecture_are_found_by_type():
    config = AutoConfig.for_model("gpt2", vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    model = AutoModelForCausalLM.from_config(config)  # Conv1D, one projection for queries, keys and values
    lora = Lora(LoraConfig(rank=2), model)
    assert [tuple(up.shape) for up in lora.up] == [(48, 2), (16, 2)] * 2
    assert len(Lora(LoraConfig(projections=("c_proj",)), model).up) == 2
    assert [tuple(up.shape) for up in Lora(LoraConfig(projections=("mlp.c_fc",)), model).up] == [(64, 8)] * 2
    with pytest.raises(ValueError, match="'q_proj'; there are: c_attn, c_proj"):
        Lora(LoraConfig(projections=("q_proj",)), model)


def test_half_precision_and_autocast(folders, name):
    llm = make(FrozenLLM.load(folders["qwen2"], dtype="bfloat16"), name)
    hidden = llm(torch.randn(1, 3, llm.hidden_size))[0]
    assert hidden.dtype == torch.bfloat16 and hidden.isfinite().all()
    assert {weight.dtype for weight in llm.tuning.parameters()} == {torch.float32}
    wide = make(FrozenLLM.load(folders["qwen2"]), name)
    with torch.autocast("cpu", torch.bfloat16):
        wide(torch.randn(2, 3, llm.hidden_size))[0].float().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in wide.tuning.parameters())


def test_the_meta_device_knows_the_shapes(folders, name):
    config = TUNINGS[name]
    real = build_tuning(config, FrozenLLM.load(folders["gemma"])).state_dict()
    with torch.device("meta"):
        planned = build_tuning(config, FrozenLLM.on_meta(folders["gemma"])).state_dict()
    assert {key: value.shape for key, value in planned.items()} == {key: value.shape for key, value in real.items()}
    assert all(value.is_meta for value in planned.values())


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "choose one"),
        ({"lora": {}, "prefix": {}}, "choose one"),
        ({"lora": {"ranks": 3}}, "did you mean 'rank'"),
        ({"lora": {"rank": 0}}, "1 or more"),
        ({"prefix": {"positions": 0}}, "1 or more"),
    ],
)
def test_wrong_configurations_are_named(mapping, message):
    with pytest.raises(ConfigError, match=message):
        build(LlmTuningConfig, mapping, "a.yaml: llm_tuning")
