"""Drawing the next speech token from logits: repetition penalty, softmax, top-k, guards."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.streaming import State

OF_SAMPLING = ("recent", "count", "rows")  # keys of the state
Generators = torch.Generator | Sequence[torch.Generator] | None


@dataclass(frozen=True)
class SamplingConfig:
    """Sampling of speech tokens; the defaults are the published server's.

    top_k: 1 is greedy. temperature: divides the logits before the softmax. max_tokens: eos at the latest here.
    penalty, penalty_window: the logit of each of the last `penalty_window` tokens is divided by `penalty`, once for
        each time it occurs; a window of 0 switches it off.
    min_tokens_per_row, max_tokens_per_row: guards against an early or a missing end: the eos comes neither before nor
        after this many tokens for each text row; 0 switches a guard off.
    tokens_per_pass: of one pass of the AR; 0 for as many as the speech decoder has learned.
    """

    top_k: int = 2
    temperature: float = 1.0
    penalty: float = 1.1
    penalty_window: int = 20
    min_tokens_per_row: float = 0.0
    max_tokens_per_row: float = 0.0
    max_tokens: int = 1500
    tokens_per_pass: int = 0

    def __post_init__(self) -> None:
        if self.top_k < 1 or self.temperature <= 0 or self.max_tokens < 1 or self.tokens_per_pass < 0:
            raise ValueError("top_k, max_tokens must be at least 1, temperature above 0, tokens_per_pass at least 0")
        if self.penalty_window > 0 and self.penalty <= 0:
            raise ValueError("penalty must be above 0; switch it off with penalty_window: 0")


def initial_sampling(rows: Tensor, decoder: SpeechDecoderConfig, config: SamplingConfig) -> State:
    """State before the first token. rows (B,): text rows, which the guards count by."""
    window = max(config.penalty_window, 1)
    recent = torch.full((len(rows), window), -1, dtype=torch.long, device=rows.device)
    recent[:, -1] = decoder.sos  # the sos counts as the first of the last tokens
    return {"recent": recent, "count": torch.zeros_like(rows), "rows": rows}


def sample(
    logits: Tensor, state: State, decoder: SpeechDecoderConfig, config: SamplingConfig, generator: Generators = None
) -> tuple[Tensor, State]:
    """The next token (B,), from logits (B, V + 4), and the state; generator: one, or one for each row's own draw."""
    logits = logits.detach().float() / config.temperature
    if config.penalty_window > 0:
        logits = penalise(logits, state["recent"], config.penalty)
    logits = logits.clone()
    logits[:, [decoder.bos, decoder.sos, decoder.pad]] = -torch.inf
    logits = guard(logits, state, decoder.eos, config)
    if config.top_k == 1:
        token = logits.argmax(dim=-1)
    else:
        best, codes = logits.softmax(dim=-1).topk(min(config.top_k, logits.shape[1]), dim=-1)
        token = codes.gather(1, draw(best, generator)[:, None])[:, 0]
    recent = torch.cat([state["recent"][:, 1:], token[:, None]], dim=1)
    return token, {**state, "recent": recent, "count": state["count"] + 1}


def penalise(logits: Tensor, recent: Tensor, penalty: float) -> Tensor:
    """Divide a logit (B, V) by `penalty` for each occurrence of its token in recent (B, W).

    Negative logits are divided too and become likelier, as in the published model. An entry of -1 is no token.
    """
    times = torch.zeros_like(logits).scatter_add_(1, recent.clamp(min=0), (recent >= 0).to(logits.dtype))
    return logits / penalty**times


def guard(logits: Tensor, state: State, eos: int, config: SamplingConfig) -> Tensor:
    """Forbid the eos in rows that said too little, force it in rows that said too much."""
    count, rows = state["count"], state["rows"]
    bounded = config.min_tokens_per_row > 0 or config.max_tokens_per_row > 0
    if not bounded and int(count.max()) < config.max_tokens:
        return logits
    late = count >= config.max_tokens
    if config.max_tokens_per_row > 0:
        late = late | (count >= config.max_tokens_per_row * rows)
    early = (count < config.min_tokens_per_row * rows) & ~late
    is_eos = torch.arange(logits.shape[1], device=logits.device) == eos
    logits = logits.masked_fill(early[:, None] & is_eos, -torch.inf)
    return logits.masked_fill(late[:, None] & ~is_eos, -torch.inf)


def draw(weights: Tensor, generator: Generators = None) -> Tensor:
    """Index (B,) drawn in proportion to weights (B, K), which need not sum to one."""
    if isinstance(generator, Sequence):
        chance = torch.cat([torch.rand(1, generator=one, device=one.device) for one in generator]).to(weights.device)
    else:
        chance = torch.rand(len(weights), generator=generator, device=weights.device)
    total = weights.cumsum(dim=1)
    return (total <= chance[:, None] * total[:, -1:]).sum(dim=1).clamp(max=weights.shape[1] - 1)
