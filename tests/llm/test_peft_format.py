"""LoRA from and to peft's format: the same sums as by merged weights, and as by peft itself where it is installed."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from freeze_omni.config import ConfigError
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.peft_format import CONFIG, WEIGHTS, read_lora, write_lora
from freeze_omni.llm.tuned import Lora, LoraConfig, TunedLLM
from tests.toy import as_if_learned

LAYERS = ("self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj")


@pytest.fixture
def llm(folders) -> FrozenLLM:
    return FrozenLLM.load(folders["qwen2"])


def published(folder, llm, layers=LAYERS, rank=3, only=(0,), **changes):
    """A folder as peft writes it, with adapters in some layers of the first block."""
    torch.manual_seed(3)
    modules, tensors = dict(llm.model.named_modules()), {}
    for name in (f"model.layers.{number}.{layer}" for number in only for layer in layers):
        outputs, inputs = modules[name].weight.shape
        tensors[f"base_model.model.{name}.lora_A.weight"] = 0.2 * torch.randn(rank, inputs)
        tensors[f"base_model.model.{name}.lora_B.weight"] = 0.2 * torch.randn(outputs, rank)
    folder.mkdir(exist_ok=True)
    described = {"peft_type": "LORA", "r": rank, "lora_alpha": 6, "target_modules": list(layers), "bias": "none"}
    (folder / CONFIG).write_text(json.dumps(described | changes))
    save_file(tensors, folder / WEIGHTS)
    return folder


def with_lora(llm, folder) -> TunedLLM:
    config, state = read_lora(folder, llm)
    lora = Lora(config, llm.model)
    lora.load_state_dict(state)
    return TunedLLM(llm, lora)


@pytest.mark.parametrize(("changes", "scale"), [({}, 2.0), ({"use_rslora": True}, 6 / 3**0.5)])
def test_it_adds_what_merged_weights_would(llm, folders, tmp_path, changes, scale):
    folder, embeds = published(tmp_path / "lora", llm, **changes), torch.randn(1, 7, llm.hidden_size)
    found = with_lora(llm, folder)(embeds)[0]
    merged = FrozenLLM.load(folders["qwen2"])
    tensors = load_file(folder / WEIGHTS)
    for name, module in merged.model.named_modules():
        if (down := tensors.get(f"base_model.model.{name}.lora_A.weight")) is not None:
            module.weight += scale * tensors[f"base_model.model.{name}.lora_B.weight"] @ down
    torch.testing.assert_close(found, merged(embeds)[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, llm(embeds)[0], atol=1e-2)


def test_what_is_written_is_read_again(llm, tmp_path):
    config = LoraConfig(rank=2, alpha=8, projections=("self_attn.k_proj", "mlp.up_proj"))
    lora = as_if_learned(Lora(config, llm.model))
    again, state = read_lora(write_lora(tmp_path / "lora", lora, config, llm), llm)
    assert (again.rank, again.alpha) == (2, 8) and set(again.projections) == set(config.projections)
    assert all(torch.equal(state[key], weight) for key, weight in lora.state_dict().items())


def test_the_architecture_is_enough(folders, llm, tmp_path):
    config, state = read_lora(published(tmp_path / "lora", llm), FrozenLLM.on_meta(folders["qwen2"]))
    assert config.projections == ("mlp.down_proj", "self_attn.o_proj", "self_attn.q_proj") and len(state) == 12
    assert not any(weight.any() for key, weight in state.items() if int(key.split(".")[1]) >= 3), "the second block"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "IA3 is not plain LoRA"),
        ({"alpha_pattern": {"q_proj": 3}}, "alpha_pattern is not plain LoRA"),
        ({"r": 4}, r"lora_A of model.layers.0.self_attn.q_proj has shape \(3, 48\), not \(4, 48\)"),
        ({"r": None}, "no configuration of a LoRA"),
    ],
)
def test_what_would_be_computed_in_another_way_is_refused(llm, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_lora(published(tmp_path / "lora", llm, **changes), llm)


def test_files_that_do_not_fit_are_one_line(llm, tmp_path):
    folder = published(tmp_path / "lora", llm)
    tensors = load_file(folder / WEIGHTS)
    for key, message in (
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "is no tensor of plain LoRA"),
        ("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight", "which has no layer model.layers.9"),
        ("base_model.model.model.layers.0.attn.wqkv.lora_A.weight", "of another LLM"),
        ("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", "lora_B of .* is missing"),
    ):
        save_file(tensors | {key: torch.zeros(3, 48)}, folder / WEIGHTS)
        with pytest.raises(ConfigError, match=message) as error:
            read_lora(folder, llm)
        assert "\n" not in str(error.value)
    (folder / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(ConfigError, match="broken or cut off"):
        read_lora(folder, llm)
    (folder / CONFIG).write_text("{}")
    with pytest.raises(ConfigError, match="no configuration of a LoRA"):
        read_lora(folder, llm)
    with pytest.raises(ConfigError, match="no such file"):
        read_lora(tmp_path, llm)


def test_peft_reads_what_is_written_and_writes_what_is_read(llm, folders, tmp_path):
    peft = pytest.importorskip("peft")
    embeds = torch.randn(1, 5, llm.hidden_size)
    config = LoraConfig(rank=2, alpha=8, projections=("q_proj", "mlp.up_proj"))
    lora = as_if_learned(Lora(config, llm.model))
    folder = write_lora(tmp_path / "ours", lora, config, llm)
    theirs = peft.PeftModel.from_pretrained(FrozenLLM.load(folders["qwen2"]).model, folder)
    torch.testing.assert_close(hidden(theirs, embeds), TunedLLM(llm, lora)(embeds)[0], atol=1e-5, rtol=1e-5)
    how = peft.LoraConfig(r=4, lora_alpha=3, target_modules="all-linear", init_lora_weights=False, use_rslora=True)
    theirs = peft.get_peft_model(FrozenLLM.load(folders["qwen2"]).model, how).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    found = with_lora(llm, tmp_path / "theirs")(embeds)[0]
    torch.testing.assert_close(found, hidden(theirs, embeds), atol=1e-4, rtol=1e-4)


def hidden(model, embeds):
    with torch.no_grad():
        return model.get_base_model().get_decoder()(inputs_embeds=embeds).last_hidden_state
