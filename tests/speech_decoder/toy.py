"""A toy speech decoder, for tests only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.speech_decoder import SpeechDecoder, SpeechDecoderConfig

LLM_SIZE = 32
TOY = SpeechDecoderConfig(
    size=16, heads=2, ffn_size=24, layers=2, pre_layers=1, codes=12, dropout=0.0, tokens_per_row=2.0
)


@dataclass
class Batch:
    """Ragged inputs; after the lengths is NaN (text, hidden) or nonsense (tokens)."""

    text: Tensor
    text_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    hidden: Tensor
    hidden_lengths: Tensor

    def row(self, index: int) -> tuple[Tensor, ...]:
        """One utterance alone, without padding, as arguments of `forward`."""
        pairs = (
            (self.text, self.text_lengths),
            (self.tokens, self.token_lengths),
            (self.hidden, self.hidden_lengths),
        )
        flat: list[Tensor] = []
        for values, lengths in pairs:
            flat += [values[index : index + 1, : lengths[index]], lengths[index : index + 1]]
        return tuple(flat)

    def all(self) -> tuple[Tensor, ...]:
        """The batch as arguments of `forward`."""
        return tuple(self.__dict__.values())


def toy_decoder(config: SpeechDecoderConfig = TOY) -> SpeechDecoder:
    """Random weights, all of them: what starts at zero is drawn too."""
    decoder = SpeechDecoder(config, LLM_SIZE).eval()
    for module in decoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
    return decoder


def toy_batch() -> Batch:
    """Three utterances of different text, speech and prefix lengths; the last has no prefix."""
    lengths = [torch.tensor(values) for values in ([5, 3, 4], [7, 9, 2], [4, 6, 0])]
    text, hidden = torch.randn(3, 5, LLM_SIZE), torch.randn(3, 6, LLM_SIZE)
    tokens = torch.randint(TOY.codes, (3, 9))
    for values, size in ((text, lengths[0]), (hidden, lengths[2])):
        for row, length in zip(values, size.tolist(), strict=True):
            row[length:] = float("nan")
    for row, length in zip(tokens, lengths[1].tolist(), strict=True):
        row[length:] = -7
    return Batch(text, lengths[0], tokens, lengths[1], hidden, lengths[2])
