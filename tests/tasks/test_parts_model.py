"""Models of named parts, and the LLM inside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.tasks.parts_model import PartsModel
from freeze_omni.tasks.resources import LlmEmbedding
from tests.toy import toy_llm


class Model(PartsModel):
    def forward(self, **batch):
        raise NotImplementedError


def test_moving_a_model_leaves_the_type_of_its_llm(tmp_path):
    """ESPnet calls to(dtype=float32) on every model, which would double a bfloat16 LLM."""
    llm = FrozenLLM.load(toy_llm(tmp_path), dtype="bfloat16")
    model = Model({"llm": llm, "head": nn.Linear(2, 2).double()}, trained=("head",))
    model.to(dtype=torch.float32, device="cpu")
    assert {weight.dtype for weight in model.llm.parameters()} == {torch.bfloat16}
    assert model.head.weight.dtype == torch.float32


def test_processes_do_not_send_each_other_the_llm(tmp_path):
    """By the name that DistributedDataParallel reads."""
    model = Model({"llm": FrozenLLM.load(toy_llm(tmp_path)), "head": nn.BatchNorm1d(2)}, trained=("head",))
    names = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    assert set(model._ddp_params_and_buffers_to_ignore) == {name for name in names if name.startswith("llm.")} != set()
    assert Model({"head": nn.BatchNorm1d(2)}, trained=("head",))._ddp_params_and_buffers_to_ignore == []


def test_a_name_that_trains_nothing_is_an_error():
    with pytest.raises(ValueError, match="no such parts to train: haed"):
        Model({"head": nn.Linear(2, 2)}, trained=("head", "haed"))


@pytest.mark.parametrize("kind", ["qwen2", "smollm", "llama"])
def test_embedding_alone_is_that_of_the_whole_llm(tmp_path, kind):
    folder = toy_llm(tmp_path, kind)
    alone, whole = LlmEmbedding.load(str(folder)), FrozenLLM.load(folder)
    ids = torch.arange(whole.vocab_size)[None]
    assert torch.equal(alone.embed(ids), whole.embed(ids))
    assert alone.hidden_size == whole.hidden_size
    assert not list(alone.parameters()) and not alone.state_dict()


def test_reads_a_model_in_several_files(tmp_path):
    whole = FrozenLLM.load(toy_llm(tmp_path / "one"))
    toy_llm(tmp_path / "many")
    (tmp_path / "many" / "model.safetensors").unlink()
    whole.model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert not (tmp_path / "many" / "model.safetensors").exists()
    ids = torch.arange(whole.vocab_size)[None]
    assert torch.equal(LlmEmbedding.load(str(tmp_path / "many")).embed(ids), whole.embed(ids))


def test_what_is_no_folder_is_left_to_transformers():
    assert LlmEmbedding.load("hub/id") is None
