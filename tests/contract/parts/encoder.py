"""The encoder and the greedy CTC path under the law, in toy sizes."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows, rows_of

TOY = {"input_size": 20, "size": 16, "layers": 2, "heads": 2, "ffn_size": 24, "left_chunks": 3}


def toy_encoder(**changes: object) -> SpeechEncoder:
    """A small random encoder in evaluation mode whose normalisation does something."""
    encoder = SpeechEncoder(EncoderConfig(**(TOY | changes))).eval()
    encoder.cmvn.mean.normal_()
    encoder.cmvn.istd.uniform_(0.5, 2)
    return encoder


def _encoder(**changes: object) -> Part:
    encoder = toy_encoder(**changes)

    def step(feats: Tensor, state: State) -> tuple[Rows, State]:
        frames, state = encoder.step(feats, state)
        return rows_of(frames), state

    return Part(
        chunk=encoder.config.chunk_frames * 4,
        make_input=lambda batch, size: torch.randn(batch, size, 20),
        forward=lambda feats, lengths: rows_of(*encoder(feats, lengths)),
        initial_state=encoder.initial_state,
        step=step,
    )


def _ctc() -> Part:
    head = CtcHead(8, 4)

    def step(enc: Tensor, state: State) -> tuple[Rows, State]:
        units, state = head.step(head(enc), state)
        return [torch.tensor(row, dtype=torch.long) for row in units], state

    return Part(
        chunk=2,
        make_input=lambda batch, size: torch.randn(batch, size, 8),
        forward=lambda enc, lengths: [torch.tensor(row) for row in head.greedy(head(enc), lengths)],
        initial_state=head.initial_state,
        step=step,
    )


PARTS = {
    "encoder": _encoder,
    "encoder_with_convolution": partial(_encoder, conv_kernel=5),
    "encoder_of_convolutions": partial(_encoder, block="convolution", conv_kernel=5),
    "encoder_of_small_chunks": partial(_encoder, chunk_frames=2, left_chunks=5, conv_kernel=3),
    "encoder_as_released": partial(_encoder, positions="released", start="zero_features"),
    "encoder_as_released_concat": partial(_encoder, positions="released", concat_after=True, conv_kernel=3),
    "ctc_greedy": _ctc,
}
