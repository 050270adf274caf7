"""Tiny models of many architectures of transformers, with random weights, as folders that an LLM is read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.toy import toy_tokenizer

LAYERS = 2
_MOE = {"num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2}
_MOE |= {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "n_group": 1, "topk_group": 1}
_MLA = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 12}
_MLA |= {"head_dim": 8, "num_key_value_heads": 4, "first_k_dense_replace": 1, "n_shared_experts": 1}
_LINEAR = {
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 12, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 1}
HYBRID = ["linear_attention", "full_attention"]

# architecture -> options beyond `_common`
FITTING: dict[str, dict[str, Any]] = {
    "qwen2": {}, "qwen3": {}, "llama": {}, "olmo2": {}, "granite": {"embedding_multiplier": 3.0, "logits_scaling": 2.0},
    "mistral": {"sliding_window": 4}, "starcoder2": {"sliding_window": 4}, "phi3": {"rope_scaling": None},
    "gemma": {}, "gemma2": {"sliding_window": 4}, "gemma3_text": {"sliding_window": 4},
    "cohere": {"logit_scale": 0.3}, "cohere2": {"sliding_window": 4}, "smollm3": {}, "glm4": {"head_dim": 12},
    "gpt2": {"n_embd": 48, "n_layer": LAYERS, "n_head": 4, "n_positions": 256}, "gpt_neox": {},
    "opt": {"word_embed_proj_dim": 48, "ffn_dim": 96}, "phi": {}, "persimmon": {}, "olmo": {},
    "olmo3": {"sliding_window": 4}, "exaone4": {}, "ernie4_5": {}, "helium": {}, "seed_oss": {}, "arcee": {},
    "apertus": {}, "hunyuan_v1_dense": {}, "glm": {}, "granitemoe": {}, "glm4_moe": _MOE,
    "gemma4_text": {"layer_types": ["sliding_attention", "full_attention"], "hidden_size_per_layer_input": 0},
    "qwen2_moe": _MOE, "qwen3_moe": _MOE, "mixtral": _MOE, "olmoe": _MOE,
    "granitemoehybrid dense": {"layer_types": ["full_attention"] * LAYERS, "num_local_experts": 0} | _MAMBA,
}  # fmt: skip
UNFIT: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "qwen3_5_text": {"layer_types": HYBRID} | _LINEAR,
    "qwen3_next": {"layer_types": HYBRID} | _LINEAR | _MOE,
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False} | _MOE,
    "mamba": {"state_size": 8}, "falcon_mamba": {"state_size": 8},
    "mamba2": {"num_heads": 4, "head_dim": 24, "state_size": 8, "n_groups": 1},
    "falcon_h1": {"mamba_d_ssm": 48, "mamba_n_groups": 1} | _MAMBA,
    "bamba": {"attn_layer_indices": [1], "mamba_n_groups": 1} | _MAMBA,
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"], "mamba_n_groups": 1} | _MAMBA | _MOE,
    "recurrent_gemma": {"block_types": ["recurrent", "attention"], "attention_window_size": 8, "lru_width": 48},
    "rwkv": {"attention_hidden_size": 48}, "minimax": {"layer_types": HYBRID} | _MOE,
    "gpt_oss": _MOE, "llama4_text": {"attention_chunk_size": 8, "intermediate_size_mlp": 96} | _MOE,
    "bert": {},
    "bart": {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
    "t5": {"d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4},
    "bloom": {"n_layer": LAYERS, "n_head": 4}, "mpt": {"d_model": 48, "n_layers": LAYERS, "n_heads": 4},
    "gemma3n_text": {"num_kv_shared_layers": 1, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64},
    "gemma4_text shared": {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2,
        "hidden_size_per_layer_input": 0,
    },
    # attention of their own, which a batch of dialogues does not reach
    "stablelm": {"partial_rotary_factor": 0.5}, "nemotron": {}, "diffllama": {}, "jetmoe": {}, "xglm": {}, "ctrl": {},
    "openai-gpt": {}, "deepseek_v32": _MOE | _MLA | {"index_n_heads": 2, "index_head_dim": 16},
    "deepseek_v2": _MOE | _MLA, "deepseek_v3": _MOE | _MLA,
}  # fmt: skip


def zoo_llm(folder: Path, kind: str) -> Path:
    """A folder with a tiny model of this architecture and a tokenizer with a chat template."""
    tokenizer = toy_tokenizer("qwen2")
    common = {
        "vocab_size": len(tokenizer) + 5, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "max_position_embeddings": 256,
        "initializer_range": 0.2, "tie_word_embeddings": False, "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    config = AutoConfig.for_model(kind.split()[0], **(common | (FITTING | UNFIT)[kind]))
    maker = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(7)
        maker.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
