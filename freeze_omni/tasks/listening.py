"""From samples to positions of the LLM, as stages 1.2 and 1.3 share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from freeze_omni.adapter.output import AdapterOutput
from freeze_omni.frontend.fbank import Fbank


class Heard(NamedTuple):
    """frames (B, T, D), lengths (B,), logits (B, T, V) of the CTC head, and what the adapter made of them."""

    frames: Tensor
    lengths: Tensor
    logits: Tensor
    adapted: AdapterOutput


def listen(
    parts: nn.Module,
    fbank: Fbank,
    speech: Tensor,
    speech_lengths: Tensor,
    augment: Callable | None = None,
) -> Heard:
    """Samples (B, S) at 16 kHz through the parts `encoder`, `ctc` and `adapter` of a model."""
    feats, lengths = fbank(speech, speech_lengths)
    frames, lengths = parts.encoder(feats, lengths, augment=augment)
    logits = parts.ctc(frames)
    return Heard(frames, lengths, logits, parts.adapter(frames, lengths, ctc_logits=logits))
