"""An LLM is refused before it is used if its cache cannot be forked, cut back and batched, or its weights lack."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from freeze_omni.config import ConfigError
from freeze_omni.eval.batch import greedy_answers
from freeze_omni.llm.check import check_reading
from freeze_omni.llm.frozen import FrozenLLM, LlmError
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.source import pinned
from freeze_omni.shapes import pad_rows, valid_mask
from tests.llm.zoo import FITTING, UNFIT, zoo_llm


@pytest.mark.parametrize("kind", FITTING)
def test_llms_that_fit_are_forked_cut_and_batched(kind, tmp_path):
    llm = FrozenLLM.load(zoo_llm(tmp_path, kind))
    cache = llm.new_cache()
    embeds = torch.randn(1, 12, llm.hidden_size)
    with torch.no_grad():
        whole = llm(embeds)[0]
        llm(embeds[:, :7], cache=cache)
        fork = cache.fork()
        cache.cut(5)
        again = llm(embeds[:, 5:], cache=cache)[0]
        batch = llm.read_rows([embeds[0, 7:], embeds[0]], [fork, llm.new_cache()])
    torch.testing.assert_close(again, whole[:, 5:], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(batch[0], whole[0, 7:], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(batch[1], whole[0], atol=1e-4, rtol=1e-3)
    check_learning(llm)


def check_learning(llm: FrozenLLM) -> None:
    """Rows of several lengths, packed or with layers computed again, have the states and gradients of single rows."""
    rows = [torch.randn(1, size, llm.hidden_size, requires_grad=True) for size in (4, 9, 1)]
    alone = [llm(row)[0][0] for row in rows]
    weights = torch.randn(14, llm.hidden_size)  # norms make squares the same whatever was read
    (torch.cat(alone) * weights).sum().backward()
    for llm.checkpointing in (False, True):
        embeds, lengths = pad_rows([row[0].detach() for row in rows], value=float("nan"))
        mask = valid_mask(lengths)
        hidden = llm(embeds.requires_grad_(), mask)[0]
        (hidden[mask] * weights).sum().backward()
        torch.testing.assert_close(hidden[mask], torch.cat(alone), atol=1e-4, rtol=1e-3)
        expected = torch.cat([row.grad[0] for row in rows])
        torch.testing.assert_close(embeds.grad[mask], expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3)
        assert not embeds.grad[~mask].any()


@pytest.mark.parametrize("kind", UNFIT)
def test_llms_that_do_not_fit_are_refused_with_the_reason_in_one_line(kind, tmp_path):
    folder = zoo_llm(tmp_path, kind)
    with pytest.raises(LlmError) as error:
        FrozenLLM.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, ConfigError), "commands print it in one line"


@pytest.mark.parametrize("kind", ["lfm2", "qwen3_5_text", "jamba", "mamba", "llama4_text", "t5", "gemma4_text shared"])
def test_most_of_them_before_the_weights_are_read(kind, tmp_path):
    folder = zoo_llm(tmp_path, kind)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    reason = "encoder-decoder" if kind == "t5" else "cannot be forked, cut back and batched"
    for load in (FrozenLLM.load, FrozenLLM.on_meta):
        with pytest.raises(LlmError, match=reason):
            load(folder)


@pytest.fixture
def folder(tmp_path):
    return zoo_llm(tmp_path / "llm", "qwen2")


def test_missing_weights_are_told_not_drawn(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(LlmError, match=r"missing weights: .*layers.1.self_attn.q_proj.weight; fetch"):
        FrozenLLM.load(folder)


@pytest.mark.parametrize(
    "change",
    [{"model_type": "unheard_of"}, {"auto_map": {"AutoConfig": "code.Config"}, "model_type": "unheard_of"},
     {"quantization_config": {"quant_method": "gptq", "bits": 4}}, {"num_attention_heads": "many"}],
)  # fmt: skip
def test_what_transformers_cannot_load_is_one_line(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(LlmError) as error:
        FrozenLLM.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_broken_files_are_one_line(folder, file):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(LlmError) as error:
        FrozenLLM.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


class LooksAhead(FrozenLLM):
    def _run(self, embeds, use_cache, cache=None, **arguments):
        return super()._run(embeds, use_cache, cache=cache, **arguments) + embeds.mean(1, keepdim=True)


def test_an_llm_that_looks_ahead_is_refused(folder):
    llm = LooksAhead.__new__(LooksAhead)
    llm.__dict__ = FrozenLLM.load(folder).__dict__
    with pytest.raises(LlmError, match="does not read a beginning as all at once"):
        check_reading(llm)


def test_the_check_leaves_no_trace(folder):
    llm = FrozenLLM.load(folder)
    before = llm.fingerprint(), llm.config._attn_implementation
    check_reading(llm)
    assert (llm.fingerprint(), llm.config._attn_implementation) == before


def test_half_precision_passes_too(folder):
    for dtype in ("bfloat16", "float16"):
        FrozenLLM.load(folder, dtype=dtype)


def test_a_hub_id_takes_a_revision_and_no_code_of_others(folder, monkeypatch, tmp_path):
    seen = []
    for name in ("AutoConfig", "AutoTokenizer", "AutoModelForCausalLM"):
        real = getattr(transformers, name).from_pretrained

        def from_pretrained(source, *args, real=real, revision=None, trust_remote_code=None, **options):
            if source != folder:  # which transformers asks for inside
                seen.append((source, revision, trust_remote_code))
            return real(folder, *args, **options)

        monkeypatch.setattr(getattr(transformers, name), "from_pretrained", from_pretrained)
    llm = FrozenLLM.load("user/name@abc123")
    assert set(seen) == {("user/name", "abc123", False)} and len(seen) == 3
    assert llm.source == "user/name@abc123", "a packed model that refers to it has the revision, too"
    seen.clear()
    FrozenLLM.load("user/name")
    assert set(seen) == {("user/name", None, False)}
    at = shutil.copytree(folder, tmp_path / "folder@home")
    assert FrozenLLM.load(at).source == str(at)


def test_a_revision_goes_with_a_hub_id(tmp_path):
    assert pinned("user/name", "v1") == pinned("user/name@v1", "v1") == pinned("user/name@v1", None) == "user/name@v1"
    assert pinned("user/name", "refs/pr/3") == "user/name@refs/pr/3"
    for given, revision in ((str(tmp_path), "v1"), ("./llm", "v1"), ("user/name@v2", "v1"), (None, "v1")):
        with pytest.raises(LlmError, match="--llm_revision v1"):
            pinned(given, revision)


@pytest.mark.parametrize("kind", ["mistral", "gemma3_text"])
def test_a_batch_beyond_a_sliding_window_gives_the_answers_of_single_runs(kind, tmp_path):
    llm = FrozenLLM.load(zoo_llm(tmp_path, kind))
    assert llm.window == 4
    prompts = [list(range(20, 20 + count)) for count in (3, 11)]
    together = [answer.ids for answer in generate_batch(llm, prompts, GenerationConfig(5))]
    assert together == [generate_batch(llm, [prompt], GenerationConfig(5))[0].ids for prompt in prompts]
    rows = [llm.embed(torch.tensor(prompt)) for prompt in prompts]
    assert greedy_answers(llm, rows, 5) == together
