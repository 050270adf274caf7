"""From vectors of the LLM (embeddings or hidden states) to rows of the decoder's width."""

from __future__ import annotations

from torch import Tensor, nn

from freeze_omni.shapes import silence_padding
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.layer import NORM_EPS


class ProjectRows(nn.Module):
    """One row a vector, by a learned projection: fits an LLM of any width.

    The norm makes the decoder independent of the scale of the LLM's embeddings (often 0.02).
    """

    def __init__(self, llm_size: int, size: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(llm_size, eps=NORM_EPS)
        self.linear = nn.Linear(llm_size, size, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, E) to rows (B, N, D), lengths (B,) unchanged; padding may hold anything."""
        return self.linear(self.norm(silence_padding(x, lengths))), lengths


class ReshapeRows(nn.Module):
    """The published layout: each vector is cut into E / D rows, nothing is learned."""

    def __init__(self, llm_size: int, size: int) -> None:
        super().__init__()
        if llm_size % size:
            raise ValueError(
                f"text_rows: reshape needs an LLM width that is a multiple of {size}, not"
                f" {llm_size}; use text_rows: project"
            )
        self.size, self.rows = size, llm_size // size

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, E) to rows (B, N * E / D, D), lengths (B,); padding may hold anything."""
        rows = silence_padding(x, lengths).reshape(len(x), -1, self.size)
        return rows, lengths * self.rows


def make_rows(config: SpeechDecoderConfig, llm_size: int) -> nn.Module:
    """The module that `text_rows` names."""
    kind = ProjectRows if config.text_rows == "project" else ReshapeRows
    return kind(llm_size, config.size)
