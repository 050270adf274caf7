"""From vectors of the LLM (embeddings or hidden states) to rows of the decoder's width."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.speech_decoder.layer import NORM_EPS


class ProjectRows(nn.Module):
    """One row a vector, by a learned projection; the norm makes it independent of the embeddings' scale."""

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
            fitting = f"text_rows: reshape needs an LLM width that is a multiple of {size}"
            raise ValueError(f"{fitting}, not {llm_size}; use text_rows: project")
        self.size, self.rows = size, llm_size // size

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, N, E) to rows (B, N * E / D, D), lengths (B,); padding may hold anything."""
        return silence_padding(x, lengths).reshape(len(x), -1, self.size), lengths * self.rows


ROWS = {"project": ProjectRows, "reshape": ReshapeRows}  # of `text_rows`


@dataclass(frozen=True)
class Places:
    """Positions of one batch: bos and text rows (B, 1 + N), prefix rows (B, M), the sos (B,)."""

    text: Tensor
    prefix: Tensor
    sos: Tensor


def plain_places(row_lengths: Tensor, rows: int, prefix_rows: int) -> Places:
    """bos at 0, then text rows, then the sos; the prefix is counted separately."""
    count = torch.arange(max(rows + 1, prefix_rows), device=row_lengths.device, dtype=torch.float32)
    batch = len(row_lengths)
    return Places(count[: rows + 1].expand(batch, -1), count[:prefix_rows].expand(batch, -1), 1.0 + row_lengths)


def progress_places(durations: Tensor, prefix_lengths: Tensor, prefix_rows: int) -> Places:
    """Each text row in the middle of its duration (B, N); the prefix spread over the same time."""
    total = durations.sum(dim=1)
    middle = durations.cumsum(dim=1) - durations / 2
    share = torch.arange(prefix_rows, device=durations.device) + 0.5
    prefix = share * (total / prefix_lengths.clamp(min=1))[:, None]
    zero = torch.zeros_like(total)
    return Places(torch.cat([zero[:, None], middle], dim=1), prefix, zero)


def stretch(durations: Tensor, total: Tensor) -> Tensor:
    """Durations (B, N) scaled so that each row of the batch lasts `total` (B,) speech tokens."""
    return durations * (total / durations.sum(dim=1).clamp(min=1e-3))[:, None]


class LengthHead(nn.Module):
    """Speech tokens that each text row takes, learned from the total or row by row; starts constant."""

    def __init__(self, size: int, tokens_per_row: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.linear = nn.Linear(size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.scale = tokens_per_row / math.log(2.0)  # softplus(0) = log 2

    def forward(self, rows: Tensor, row_lengths: Tensor) -> Tensor:
        """NAR output (B, N, D) to durations (B, N) in speech tokens, 0 in the padding."""
        durations = self.scale * F.softplus(self.linear(self.norm(rows)).squeeze(-1).float())
        return durations * valid_mask(row_lengths, rows.shape[1])

    @staticmethod
    def loss(durations: Tensor, token_lengths: Tensor) -> Tensor:
        """Mean distance of the logarithms of predicted and true length."""
        predicted = durations.sum(dim=1).clamp(min=1e-3)
        return (predicted.log() - token_lengths.clamp(min=1).log()).abs().mean()

    @staticmethod
    def row_loss(durations: Tensor, row_tokens: Tensor, row_lengths: Tensor) -> Tensor:
        """Mean distance of the roots of durations (B, N), over real rows: short rows count most, and 0 is defined."""
        apart = (durations.clamp(min=1e-3).sqrt() - row_tokens.to(durations.dtype).clamp(min=0).sqrt()).abs()
        real = valid_mask(row_lengths, durations.shape[1])
        return (apart * real).sum() / real.sum().clamp(min=1)


AROUND = 1  # rows either side
FURTHEST = 15  # tokens from a row's begin or end that have their own embedding


def as_script(rows: Tensor, row_lengths: Tensor) -> Tensor:
    """Rows (B, N, D) with silence before the first and after the last: (B, N + 2 AROUND + 1, D)."""
    silent = rows.masked_fill(~valid_mask(row_lengths, rows.shape[1])[..., None], 0)
    return F.pad(silent, (0, 0, AROUND, AROUND + 1))


def row_ends(durations: Tensor, row_lengths: Tensor) -> Tensor:
    """Durations (B, N) to the time (B, N) at which each row ends; the padding never does."""
    return durations.cumsum(1).masked_fill(~valid_mask(row_lengths, durations.shape[1]), torch.inf)


class Reading(nn.Module):
    """From a script and its times to what is added to the embeddings of speech tokens (width D)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = nn.Linear((2 * AROUND + 1) * size, size, bias=False)
        self.since = nn.Embedding(FURTHEST + 1, size)
        self.until = nn.Embedding(FURTHEST + 1, size)

    def forward(self, script: Tensor, ends: Tensor, time: Tensor) -> Tensor:
        """Script (B, N + 3, D), row ends (B, N) and times (B, T) in tokens to (B, T, D)."""
        around, since, until = look_up(script, ends, time)
        return self.rows(around) + (self.since(since) + self.until(until)).to(around.dtype)


def look_up(script: Tensor, ends: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The rows around the one spoken at each time, and whole tokens since its begin and until its end.

    script: (B, N + 3, D) of `as_script`; ends: (B, N) of `row_ends`; time: (B, T).
    Returns: rows (B, T, 3 D), and two (B, T) from 0 to FURTHEST. After the last row there is silence.
    """
    middle = time.to(ends.dtype) + 0.5  # of the token
    index = torch.searchsorted(ends, middle, right=True)
    places = [(index + offset)[..., None].expand(-1, -1, script.shape[2]) for offset in range(2 * AROUND + 1)]
    around = [script.gather(1, place) for place in places]
    begin = F.pad(ends, (1, 0)).gather(1, index)
    end = F.pad(ends, (0, 1), value=torch.inf).gather(1, index)
    since, until = (gap.clamp(0, FURTHEST).long() for gap in (middle - begin, end - middle))
    return torch.cat(around, -1), since, until


def guided_attention(query: Tensor, key: Tensor, token_lengths: Tensor, row_lengths: Tensor, width: float) -> Tensor:
    """Mean attention weight that lies off the diagonal.

    query: (B, h, T, d) of the speech tokens; key: (B, h, N, d) of the text rows; lengths (B,): real ones of T and N.
    width: how far from the diagonal is free, as a share of the utterance.
    """
    rows = valid_mask(row_lengths, key.shape[2])
    tokens = valid_mask(token_lengths, query.shape[2])
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    weights = scores.float().masked_fill(~rows[:, None, None], -1e9).softmax(dim=-1)
    token_share = torch.arange(query.shape[2], device=key.device) / token_lengths.clamp(min=1)[:, None]
    row_share = torch.arange(key.shape[2], device=key.device) / row_lengths.clamp(min=1)[:, None]
    distance = token_share[:, :, None] - row_share[:, None, :]
    off = 1 - torch.exp(-(distance**2) / (2 * width**2))
    lost = (weights * off[:, None]).sum(dim=-1).mean(dim=1)
    return (lost * tokens).sum() / tokens.sum().clamp(min=1)
