"""The state head, read at the end of every chunk: 0 the user still speaks; 1 has finished, answer; 2 has finished,
nothing to answer (the paper's chunk states). With `wait` also 3 (ours): asks the system to wait, and will go on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.duplex.reference import SIZE as REFERENCE_SIZE

SPEAKING, ANSWER, IGNORE, WAIT = 0, 1, 2, 3
STATES = 3
"""Of the paper, and of a head without `wait`."""
NO_LABEL = -1


@dataclass(frozen=True)
class StateHeadConfig:
    """summary: the head also reads the chunk's mean encoder frame, by which it tells chunks apart in which no position
    was sent. class_weights: of the cross entropy, one for each state; none: all alike. hidden: units of a layer before
    the logits (ours; 0: none, the paper's linear head). dropout: of what the head reads, in training (ours), so that it
    does not learn sentence ends by heart. reference: it also reads what the system itself plays (ours, `reference.py`).
    wait: a fourth state, "hold on a moment" (ours); a head without it learns that as state 2. released: the published
    head, four logits, the last left out; hidden state alone."""

    summary: bool = True
    class_weights: tuple[float, ...] = ()
    hidden: int = 0
    dropout: float = 0.0
    reference: bool = False
    wait: bool = False
    released: bool = False

    def __post_init__(self) -> None:
        if self.released and self.summary:
            raise ValueError("the released state head has no summary: set summary: false")
        if self.reference and not self.summary:
            raise ValueError("reference goes with the summary: set summary: true, or reference: false")
        if self.hidden < 0 or self.released and self.hidden:
            raise ValueError(f"hidden must be 0 or more, and 0 for the released state head, not {self.hidden}")
        if self.released and self.wait:
            raise ValueError("the released state head has three states: set wait: false")
        if self.class_weights and len(self.class_weights) != self.states:
            raise ValueError(f"class_weights: {self.states} numbers, one for each state, not {self.class_weights}")
        if min(self.class_weights, default=1.0) <= 0:
            raise ValueError(f"class_weights must be above 0, not {self.class_weights}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, not {self.dropout}")

    @property
    def states(self) -> int:
        """3, or 4 with `wait`."""
        return STATES + self.wait


class StateHead(nn.Module):
    """A logit for each state from [hidden state at the chunk's last sent position; its summary; its echo reference].

    Linear, as in the paper, or with a layer of `hidden` units between (docs/decisions/006-state-head.md).
    A chunk in which no position was sent reads the hidden state of the last position before it.
    """

    def __init__(self, config: StateHeadConfig, llm_size: int, summary_size: int = 0) -> None:
        super().__init__()
        self.config = config
        self._reference = REFERENCE_SIZE * config.reference
        size = llm_size + (summary_size if config.summary else 0) + self._reference
        if config.hidden:
            self.hidden = nn.Linear(size, config.hidden)
        self.output = nn.Linear(config.hidden or size, config.states + config.released)
        if config.reference:  # without an effect until it has learned from scenes in which the system speaks
            first = self.hidden if config.hidden else self.output
            nn.init.zeros_(first.weight[:, -REFERENCE_SIZE:])

    def forward(self, hidden: Tensor, summary: Tensor | None = None) -> Tensor:
        """hidden (..., E), summary (..., S), with `reference` (..., S + SIZE), to logits (..., states); an imported
        head's fourth is never computed."""
        features = hidden.to(self.output.weight.dtype)
        if self.config.summary:
            if summary is None:
                raise ValueError("this state head reads each chunk's summary too: pass summary")
            features = torch.cat([features, summary.to(features.dtype)], dim=-1)
        heard = features.shape[-1] - self._reference
        dropped = F.dropout(features[..., :heard], self.config.dropout, self.training)
        features = torch.cat([dropped, features[..., heard:]], dim=-1) if self._reference else dropped
        if self.config.hidden:
            features = F.gelu(self.hidden(features))
        states = self.config.states
        return F.linear(features, self.output.weight[:states], self.output.bias[:states])

    def labels(self, labels: Tensor) -> Tensor:
        """Labels as this head learns them: without `wait`, 3 is 2."""
        return labels.clamp(max=self.config.states - 1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted cross entropy of logits (..., states) and labels (...), -1 for none; zero without any label."""
        flat = self.labels(labels).reshape(-1)
        logits = logits.reshape(-1, self.config.states).float()
        if not bool((flat != NO_LABEL).any()):
            return logits.sum() * 0
        weights = logits.new_tensor(self.config.class_weights) if self.config.class_weights else None
        return F.cross_entropy(logits, flat, weight=weights, ignore_index=NO_LABEL)


def chunk_hidden(hidden: Tensor, first: Tensor | int, ends: Tensor) -> Tensor:
    """The hidden states (B, C, E) that each chunk's head reads: of the last position sent, or of the prompt's last.

    hidden (B, P, E); first: index of the row's first speech position, int or (B,), never 0 (the prompt stands before
    it); ends (B, C): speech positions sent up to the end of chunk c.
    """
    first = torch.as_tensor(first, device=ends.device).expand(len(ends))
    index = first[:, None] + ends - 1
    return hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[-1]))
