"""A toy LLM of tests/toy.py as a GGUF file, whose numbers are those of its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

ARCHITECTURES = {"qwen2": "QWEN2", "smollm": "LLAMA", "llama": "LLAMA"}  # kind of toy: of gguf


def need_llama_cpp() -> None:
    """Skip the test without the extra `llama`, which tools/install.sh installs."""
    pytest.importorskip("xllamacpp", reason="the extra `llama` is not installed")


def write_gguf(folder: Path, path: Path, kind: str = "qwen2", quantised: bool = False) -> Path:
    """Write the LLM of a folder to `path`, in float32, or with its larger matrices in 8 bits; return `path`."""
    from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quantize

    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    arch = MODEL_ARCH[ARCHITECTURES[kind]]
    heads, layers, head_dim = config["num_attention_heads"], config["num_hidden_layers"], config["head_dim"]
    writer = GGUFWriter(path, arch.name.lower())
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    tokens = _tokens(tokenizer, config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    names = get_tensor_name_map(arch, layers)
    for name, weight in load_file(folder / "model.safetensors").items():
        array = weight.float().numpy()
        if arch is MODEL_ARCH.LLAMA and name.endswith(("q_proj.weight", "k_proj.weight")):
            array = _interleaved(array, heads if "q_proj" in name else config["num_key_value_heads"])
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if quantised and array.ndim == 2 and array.shape[1] % 32 == 0:
            array = quantize(array, GGMLQuantizationType.Q8_0)
            writer.add_tensor(target, array, raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(target, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tokens(tokenizer: dict, size: int) -> list[str]:
    found = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    found |= {one["id"]: one["content"] for one in tokenizer["added_tokens"]}
    return [found.get(number, f"[PAD{number}]") for number in range(size)]


def _interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's rotary positions of this architecture turn neighbours, those of transformers the two halves."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
