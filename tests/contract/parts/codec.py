"""The codec's decoders under the law, silence of the delay included: both architectures."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from freeze_omni.codec import Codec, CodecConfig
from freeze_omni.config import build
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows

SPECTRAL = {
    "quantiser": {"codebook_size": 16, "dim": 4},
    "global_code": {"dim": 6},
    "spectral": {
        "mel_bins": 20,
        "width": 16,
        "encoder_blocks": 1,
        "global_blocks": 1,
        "decoder_blocks": 2,
        "fine_width": 8,
        "fine_blocks": 2,
        "kernel": 5,
        "latent_dim": 8,
    },
}
TIME_DOMAIN = {
    "architecture": "time_domain",
    "hop_samples": 24,
    "quantiser": {"codebook_size": 16, "dim": 0, "normalise": False},
    "global_code": {"dim": 16, "tokens": 4, "codebook_size": 8},
    "time_domain": {
        "rates": [2, 3, 2, 2],
        "rate_kernels": [4, 7, 4, 2],
        "channels": 64,
        "block_kernels": [3, 5],
        "block_dilations": [[1, 2], [1, 3]],
        "global_conv": [128, 16, 16, 3, 1],
    },
}
TOYS = {
    "spectral": SPECTRAL,
    "spectral_fsq": SPECTRAL | {"quantiser": {"kind": "fsq", "codebook_size": 16, "levels": [4, 4]}},
    "time_domain": TIME_DOMAIN,
}


def toy_codec(kind: str) -> Codec:
    """A small codec in evaluation mode, loud enough that a lost layer shows."""
    codec = Codec(build(CodecConfig, TOYS[kind])).eval()
    for name, parameter in codec.decoder.named_parameters():
        if name.endswith("original0"):  # the gains of weight normalisation
            torch.nn.init.constant_(parameter, 1.0)
        elif parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return codec


def toy_voice(codec: Codec) -> Tensor:
    """One row of a global code, vector or tokens."""
    config = codec.config.global_code
    if config.tokens:
        return torch.randint(config.codebook_size, (1, config.tokens))
    return torch.randn(1, config.dim)


def _part(kind: str) -> Part:
    codec = toy_codec(kind)
    voice = toy_voice(codec)
    delay, hop = codec.delay_samples, codec.hop_samples

    def forward(tokens: Tensor, lengths: Tensor) -> Rows:
        wav = codec.decode(tokens, voice, lengths)
        late = torch.cat([wav.new_zeros(len(wav), delay), wav], dim=1)
        return [row[: length * hop + delay] for row, length in zip(late, lengths, strict=True)]

    def step(tokens: Tensor, state: State) -> tuple[Rows, State]:
        wav, state = codec.step(tokens, state, voice)
        return list(wav), state

    return Part(
        chunk=1,
        make_input=lambda batch, size: torch.randint(codec.codebook_size, (batch, size)),
        forward=forward,
        initial_state=codec.initial_state,
        step=step,
        finish=lambda state: list(codec.flush(state, voice)),
        pads_with_nan=False,
    )


PARTS = {f"codec_{kind}": partial(_part, kind) for kind in TOYS}
