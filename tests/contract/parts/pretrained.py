"""Pretrained frontends under the law, each kind in a toy size with random weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows, rows_of

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
WAVEFORM = SIZES | {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
MODELS: dict[str, dict[str, Any]] = {
    "whisper": {
        "model_type": "whisper", "d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2,
        "encoder_ffn_dim": 24, "num_mel_bins": 20, "max_source_positions": 100, "decoder_layers": 1,
        "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "vocab_size": 60, "pad_token_id": 0,
    },
    "wav2vec2": {"model_type": "wav2vec2", **WAVEFORM},
    "hubert": {"model_type": "hubert", **WAVEFORM},
    "wavlm": {"model_type": "wavlm", **WAVEFORM, "num_buckets": 16},
    "w2v_bert": {"model_type": "wav2vec2-bert", **SIZES, "feature_projection_input_dim": 160, "add_adapter": False},
    "moonshine": {
        "model_type": "moonshine_streaming",
        **SIZES,
        "num_key_value_heads": 2,
        "encoder_config": SIZES | {"num_key_value_heads": 2, "sliding_windows": [[8, 2], [8, 0]]},
    },
}  # fmt: skip


def toy_frontend(kind: str = "whisper", **changes: Any) -> PretrainedFrontend:
    """A small random speech model on windows of half a second and its look-ahead."""
    torch.manual_seed(0)
    return build_frontend(PretrainedConfig(**({"model": MODELS[kind], "left_s": 0.32} | changes)))


def _part(kind: str, **changes: Any) -> Part:
    frontend = toy_frontend(kind, **changes)

    def step(wav: Tensor, state: State) -> tuple[Rows, State]:
        feats, state = frontend.step(wav, state)
        return rows_of(feats), state

    return Part(
        chunk=frontend.chunk_samples,
        make_input=lambda batch, size: 0.2 * torch.randn(batch, size),
        forward=lambda wav, lengths: rows_of(*frontend(wav, lengths)),
        initial_state=frontend.initial_state,
        step=step,
        tolerance=2e-4,
    )


PARTS = {
    **{f"pretrained_{kind}": partial(_part, kind) for kind in MODELS},
    "pretrained_without_lookahead": partial(_part, "whisper", lookahead_chunks=0, chunk_frames=2),
    "pretrained_cached": partial(_part, "whisper", context="cached"),
    "pretrained_cached_without_past": partial(_part, "whisper", context="cached", left_s=0.0, chunk_frames=2),
    "pretrained_cached_short_positions": partial(_part, "whisper", context="cached", lookahead_chunks=4),
    "pretrained_first_layer": partial(_part, "whisper", layers=1, lookahead_chunks=1),
}
