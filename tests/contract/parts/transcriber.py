"""Whisper's decoder under the law: which tokens are said, in which chunk, of a random model that says many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.transcriber import ENDS, GOES_ON, Transcriber, TranscriberConfig, build_transcriber
from freeze_omni.listening import Listening
from freeze_omni.streaming import State
from tests.contract.law import Part, Rows
from tests.contract.parts.encoder import toy_encoder
from tests.contract.parts.pretrained import MODELS, toy_frontend
from tests.contract.parts.search import by_chunks

DECODER = {"decoder_layers": 2, "max_target_positions": 40}
KEYS: dict[str, Any] = {
    "model": MODELS["whisper"] | DECODER, "heads": ((0, 1), (1, 0)), "start": (58, 59), "end": 57, "banned": (3,),
    "banned_first": (4, 57), "pieces": 2, "hold_frames": 4, "rewind_frames": 8, "silence_chunks": 3,
    "memory_chunks": 5, "rest_chunks": 3, "most": 10, "per_chunk": 3,
}  # fmt: skip


def toy_transcriber(frontend: nn.Module, **changes: Any) -> Transcriber:
    """Random, of 57 tokens, each spelled with one or two; loud enough weights for it to have something to say."""
    transcriber = build_transcriber(TranscriberConfig(**(KEYS | changes)), frontend.config)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in transcriber.net.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.4, generator=draw)
        transcriber.spelled[:, :57, 0] = torch.arange(57)
        transcriber.spelled[:, 5:57:2, 1] = 1
        transcriber.kinds[20:40], transcriber.kinds[50:57] = GOES_ON, ENDS
    return transcriber


def _with_pauses(batch: int, length: int) -> Tensor:
    """Noise in two of five stretches of four chunks, which differ by row; silence is long enough to rest in."""
    size = 4 * toy_frontend(context="cached").chunk_samples
    loud = torch.rand(batch, -(-length // size)) < 0.4
    return 0.2 * torch.randn(batch, length) * loud.repeat_interleave(size, dim=1)[:, :length]


def _part(make_input: Callable[[int, int], Tensor] | None = None, **changes: Any) -> Part:
    frontend = toy_frontend(context="cached")
    encoder = toy_encoder(input_size=frontend.output_size, subsampling="none")
    head = CtcHead(encoder.output_size, 5)
    size, transcriber = frontend.chunk_samples, toy_transcriber(frontend, **changes)
    listening = Listening(frontend, encoder, head, chunk_samples=size, transcriber=transcriber)

    def step(wav: Tensor, state: State) -> tuple[Rows, State]:
        out, state = listening.step(wav, state)
        return by_chunks(out.said), state

    def forward(wav: Tensor, lengths: Tensor) -> Rows:
        said = listening(wav, lengths).said
        return [row[: -(-length // size)] for row, length in zip(by_chunks(said), lengths.tolist(), strict=True)]

    return Part(
        chunk=size,
        make_input=make_input or (lambda batch, length: 0.2 * torch.randn(batch, length)),
        forward=forward,
        initial_state=listening.initial_state,
        step=step,
    )


PARTS = {
    "transcriber": _part,
    "transcriber_without_silence": partial(_part, silence_chunks=0),
    "transcriber_short_memory": partial(_part, memory_chunks=2, rest_chunks=2, most=4),
    "transcriber_in_pauses": partial(_part, make_input=_with_pauses, rest_chunks=2),
}
