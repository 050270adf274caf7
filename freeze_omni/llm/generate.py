"""Tokens out of the frozen LLM, greedy or sampled: one answer as a stream, or many at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.engine import Cache, LlmEngine
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.shapes import pad_rows, valid_mask


@dataclass(frozen=True)
class GenerationConfig:
    """How the next token is chosen. temperature 0 is greedy; the paper's appendix has 0.8, top_k 20, top_p 0.8."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.temperature < 0 or self.top_k < 0:
            raise ValueError("max_new_tokens must be 1 or more, temperature and top_k 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p} is not in (0, 1]")


def choose(logits: Tensor, config: GenerationConfig, generator: torch.Generator | None = None) -> Tensor:
    """Logits (B, V) to ids (B,): temperature, top_k, then the smallest set that holds top_p."""
    if config.temperature == 0:
        return logits.argmax(-1)
    logits = logits.float() / config.temperature
    top, ids = logits.topk(min(config.top_k or logits.shape[-1], logits.shape[-1]), dim=-1)
    probabilities = top.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before >= config.top_p, 0)
    return ids.gather(-1, torch.multinomial(probabilities, 1, generator=generator))[:, 0]


@torch.no_grad()
def generate(
    llm: FrozenLLM, hidden: Tensor, cache: LlmCache, config: GenerationConfig, generator: torch.Generator | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Yield (token id, hidden state (E,) that predicted it) until an end token or max_new_tokens.

    hidden: (E,) state of the last position that `cache` holds. A token enters the cache when the caller asks for what
    follows it: the last of max_new_tokens and the end token, which is not yielded, stay out, as in the released server.
    """
    ends = llm.end_ids
    token = None
    for _ in range(config.max_new_tokens):
        if token is not None:
            ids = torch.tensor([[token]], device=hidden.device)
            hidden = llm(llm.embed(ids), cache=cache)[0][0, -1]
        token = int(choose(llm.logits(hidden)[None], config, generator)[0])
        if token in ends:
            return
        yield token, hidden


@dataclass(frozen=True)
class Answer:
    """One generated answer: token ids, and the hidden states (N, E) that predicted them."""

    ids: list[int]
    hidden: Tensor
    ended: bool  # an end token came before max_new_tokens


def generate_batch(
    llm: LlmEngine, prompts: Sequence[Sequence[int]], config: GenerationConfig, keep_hidden: bool = False
) -> list[Answer]:
    """Answer many prompts (token ids each) at once, as `generate_rows`."""
    rows = [llm.embed(torch.tensor(prompt, device=llm.device)) for prompt in prompts]
    return generate_rows(llm, rows, config, keep_hidden)


@torch.no_grad()
def generate_rows(
    llm: LlmEngine, prompts: Sequence[Tensor], config: GenerationConfig, keep_hidden: bool = False
) -> list[Answer]:
    """Answer many prompts (positions (P_i, E) each) at once; rows that have ended leave the batch.

    In float32 greedy answers are those of single runs. keep_hidden: otherwise `hidden` of every answer is (0, E).
    """
    if isinstance(llm, FrozenLLM):
        return _answer_padded(llm, prompts, config, keep_hidden)
    rows = [_Row(llm.new_cache()) for _ in prompts]
    alive, reading = rows, list(prompts)
    for step in range(config.max_new_tokens):
        outputs = llm.follow_rows(reading, [row.cache for row in alive], [True] * len(alive))
        drawn = choose(torch.stack([output.logits for output in outputs]), config).tolist()
        for row, output, token in zip(alive, outputs, drawn, strict=True):
            row.ended = token in llm.end_ids
            if not row.ended:
                row.ids.append(token)
                row.states += [output.hidden] if keep_hidden else []
        alive = [row for row in alive if not row.ended]
        if not alive or step + 1 == config.max_new_tokens:
            break
        reading = list(llm.embed(torch.tensor([row.ids[-1:] for row in alive], device=llm.device)))
    empty = torch.zeros(0, llm.hidden_size, device=llm.device)
    return [Answer(row.ids, torch.stack(row.states) if row.states else empty, row.ended) for row in rows]


@dataclass(eq=False)
class _Row:
    """One answer of many, in the making."""

    cache: Cache
    ids: list[int] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    ended: bool = False


def _answer_padded(
    llm: FrozenLLM, prompts: Sequence[Tensor], config: GenerationConfig, keep_hidden: bool
) -> list[Answer]:
    """By padded batches. Prompts of like length cost least padding. What exceeds a sliding window, which would count
    the padding, is answered one by one."""
    if len(prompts) > 1 and max(map(len, prompts)) + config.max_new_tokens > llm.window:
        return [_answer_padded(llm, [prompt], config, keep_hidden)[0] for prompt in prompts]
    embeds, lengths = pad_rows(prompts)
    cache = llm.new_cache()
    hidden = llm(embeds, valid_mask(lengths), cache)[0]
    hidden = hidden[torch.arange(len(prompts), device=hidden.device), lengths - 1]
    tokens: list[list[int]] = [[] for _ in prompts]
    states: list[list[Tensor]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for step in range(config.max_new_tokens):
        drawn = choose(llm.logits(hidden), config)
        going = [i for i, token in enumerate(drawn.tolist()) if token not in llm.end_ids]
        if len(going) < len(alive):
            rows = torch.tensor(going, dtype=torch.long, device=hidden.device)
            cache.pick(rows)
            drawn, hidden, alive = drawn[rows], hidden[rows], [alive[i] for i in going]
        for row, token, state in zip(alive, drawn.tolist(), hidden, strict=True):
            tokens[row].append(token)
            states[row] += [state] if keep_hidden else []
        if not alive or step + 1 == config.max_new_tokens:
            break
        hidden = llm(llm.embed(drawn[:, None]), cache=cache)[0][:, -1]
    empty = hidden.new_zeros(0, llm.hidden_size)
    return [
        Answer(ids, torch.stack(kept) if kept else empty, row not in alive)
        for row, (ids, kept) in enumerate(zip(tokens, states, strict=True))
    ]
