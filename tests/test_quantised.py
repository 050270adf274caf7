"""Matrices in few bits: what is exact, what is rounded, and that they are used as the others."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.source import LlmError
from freeze_omni.quantised import GROUP, Linear4, Linear8, Linear16, even_levels, is_quantised, quantise
from tests.toy import toy_llm


def on_levels(size: int, width: int) -> torch.Tensor:
    """Weights as a GGUF file of 4 bits has them: 16 even levels in each group, whose ends are used."""
    steps = torch.randint(0, 16, (size, width // GROUP, GROUP)).float()
    steps[..., 0], steps[..., 1] = 0, 15
    step, least = torch.rand(size, width // GROUP, 1) + 0.1, torch.randn(size, width // GROUP, 1)
    return (least + step * steps).reshape(size, width)


def test_even_levels_are_found_and_come_back():
    weight = on_levels(32, 64)
    steps, least, step = even_levels(weight)
    again = least[..., None] + step[..., None] * steps.reshape(32, 2, GROUP)
    torch.testing.assert_close(again.reshape(32, 64).float(), weight, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("weight", [torch.randn(32, 64), on_levels(32, 64)[:, :40], on_levels(32, 64)[:9]])
def test_other_weights_and_widths_have_none(weight):
    assert even_levels(weight) is None


@pytest.mark.parametrize("bias", [None, torch.randn(32)])
@pytest.mark.parametrize("bits", [4, 8])
def test_products_are_nearly_those_of_the_weights(bits, bias):
    weight = on_levels(32, 64)
    small = Linear4(*even_levels(weight), bias) if bits == 4 else Linear8(weight, bias)
    x = torch.randn(2, 3, 64)
    exact = F.linear(x, weight, bias)
    assert small(x).shape == exact.shape and small(x).dtype == torch.float32
    assert float((small(x) - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize(("rows", "size", "width"), [(1, 1, 7), (5, 24, 20), (70, 40, 48), (0, 4, 4)])
def test_products_of_float16_are_those_of_the_weights_to_three_digits(rows, size, width):
    weight, bias, x = torch.randn(size, width), torch.randn(size), torch.randn(2, rows, width)
    for given in (bias, None):
        exact, found = F.linear(x, weight, given), Linear16(weight, given)(x)
        torch.testing.assert_close(found, exact, atol=0.01, rtol=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_llm(tmp_path_factory.mktemp("toy") / "llm")


@pytest.mark.parametrize(
    ("dtype", "expected", "least"), [("int8", "Linear8", 0.999), ("float16_weights", "Linear16", 0.99999)]
)
def test_an_llm_reads_nearly_the_same(folder, dtype, expected, least):
    full, small = FrozenLLM.load(folder), FrozenLLM.load(folder, dtype)
    kinds = {type(module).__name__ for module in small.model.modules()}
    assert expected in kinds and "Linear" not in kinds
    ids = torch.randint(0, full.vocab_size, (2, 12))
    hidden, again = (llm(llm.embed(ids))[0] for llm in (full, small))
    assert F.cosine_similarity(hidden, again, dim=-1).min() > least
    assert torch.isfinite(small.logits(again)).all()
    assert small.fingerprint() == full.fingerprint(), "of the weights that were trained with"


@pytest.mark.parametrize("dtype", ["int8", "float16_weights"])
def test_a_row_is_what_it_is_alone(folder, dtype):
    llm = FrozenLLM.load(folder, dtype)
    rows = [llm.embed(torch.randint(0, llm.vocab_size, (size,))) for size in (1, 5, 3)]
    alone = [llm.read_rows([row], [llm.new_cache()])[0] for row in rows]
    together = llm.read_rows(rows, [llm.new_cache() for _ in rows])
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", ["int8", "float16_weights"])
def test_it_is_for_cpus(folder, dtype):
    with pytest.raises(LlmError, match=f"{dtype} is for CPUs; on meta take bfloat16"):
        FrozenLLM.load(folder, dtype, "meta")


@pytest.mark.parametrize(("bits", "kind"), [("int8", "Linear8"), ("float16", "Linear16")])
def test_layers_of_other_kinds_stay(bits, kind):
    model = torch.nn.Sequential(torch.nn.Embedding(4, 64), torch.nn.Linear(64, 16), torch.nn.LayerNorm(16))
    assert not is_quantised(model)
    quantise(model, bits)
    assert [type(one).__name__ for one in model] == ["Embedding", kind, "LayerNorm"] and is_quantised(model)


def test_layers_stay_that_are_named_or_whose_width_would_be_read_past_its_end():
    parts = {"one": torch.nn.Linear(20, 32), "two": torch.nn.Linear(32, 8), "three": torch.nn.Linear(32, 8)}
    model = torch.nn.ModuleDict({"inner": torch.nn.ModuleDict(parts)})
    quantise(model, keep=("two",))
    assert [type(one).__name__ for one in model["inner"].values()] == ["Linear", "Linear", "Linear8"]


def test_a_processor_without_float16_is_told(monkeypatch):
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["qnnpack"])
    with pytest.raises(ValueError, match="x86 processors alone: take int8"):
        quantise(torch.nn.Linear(4, 4), "float16")
