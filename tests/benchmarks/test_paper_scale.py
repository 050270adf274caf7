"""The plans of docs/paper_scale.md are those of the configurations, and activations are those of real passes."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from benchmarks import paper_scale
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.stages import OF_PAPER

PAGE = (paper_scale.ROOT / "docs/paper_scale.md").read_text(encoding="utf-8")


def part(name: str) -> str:
    return PAGE.split(f"<!-- {name}: begin -->\n")[1].split(f"\n<!-- {name}: end -->")[0]


@pytest.mark.parametrize("scale", paper_scale.SCALES)
def test_the_page_has_the_updates_of_every_configuration(scale):
    rows = re.findall(r"^\| ([\d.]+ \w+) \| [\d,]+ \| [\d,]+ \| [\d.]+ \| ([\d,]+) \|", part(f"{scale}_scale"), re.M)
    options = {one: paper_scale.CONF / scale / one.config(paper_scale.ADAPTER) for one in OF_PAPER}
    read = {one: yaml.safe_load(path.read_text("utf-8")) for one, path in options.items()}
    updates = {
        f"{one.number} {one.name}": f"{has['max_epoch'] * has['num_iters_per_epoch'] // has.get('accum_grad', 1):,}"
        for one, has in read.items()
    }
    assert dict(rows) == updates


def test_the_page_has_the_memory_of_large_llms():
    assert part("large_llms") == paper_scale.large_llms()


def test_activations_of_the_meta_device_are_those_of_a_real_pass():
    """A few more: without a kernel, attention keeps its scores."""
    sizes = {"vocab_size": 64, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 3}
    llm = FrozenLLM.on_meta({"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 2, **sizes})
    real = FrozenLLM(AutoModelForCausalLM.from_config(llm.config, dtype=torch.bfloat16))
    llm.model.to(torch.bfloat16)
    for again in (False, True):
        assert paper_scale.kept_bytes(llm, again) == pytest.approx(paper_scale.kept_bytes(real, again), rel=0.15)
    assert paper_scale.kept_bytes(llm, True) < paper_scale.kept_bytes(llm, False) / 10
