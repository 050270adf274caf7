"""Several speech tokens of one pass of the AR: multi-token prediction (Gloeckle et al. 2024), chained (DeepSeek-V3).

The AR gives the first token of a pass. Each further one has a small module of its own, which reads the state that the
token before it came from, and that token as it was drawn; so they fit together. The next pass reads all of them at
once, and its keys and values are those of the paper's way, token by token.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.speech_decoder.layer import NORM_EPS
from freeze_omni.streaming import State

NOT_READ = -1
"""As `waited` before the sos, which the AR reads alone."""


class MultiToken(nn.Module):
    """The module of one further token: the state before (..., D) and the token's input row (..., D) to a state."""

    def __init__(self, size: int, ffn_size: int, dropout: float) -> None:
        super().__init__()
        self.state_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.token_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.join = nn.Linear(2 * size, size, bias=False)
        self.ffn_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.gate_up = nn.Linear(size, 2 * ffn_size, bias=False)
        self.down = nn.Linear(ffn_size, size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, spoken: Tensor) -> Tensor:
        x = state + self.dropout(self.join(torch.cat([self.state_norm(state), self.token_norm(spoken)], dim=-1)))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.down(F.silu(gate) * up))


def depths(modules: Sequence[nn.Module], state: Tensor, spoken: Tensor) -> Iterator[Tensor]:
    """States (B, T - k, D) for k = 0, 1 ...: of the AR (B, T, D), then of each module, which reads `spoken` (B, T, D),
    the input rows. State i of depth k predicts what follows input row i + k."""
    yield state
    for depth, module in enumerate(modules, 1):
        state = module(state[:, :-1], spoken[:, depth:])
        yield state


def in_turn(states: Sequence[Tensor]) -> Tensor:
    """From those of all depths the states (B, T, D) that a session has: of every n rows the first is the AR's."""
    chosen = states[0].clone()
    for depth, state in enumerate(states[1:], 1):
        chosen[:, depth :: len(states)] = state[:, :: len(states)]
    return chosen


def initial_turn(rows: int, passes: int, like: Tensor) -> State:
    """Nothing read. hidden (B, D): the state that the last logits came from; waiting (B, n - 1): tokens that the AR has
    not read; waited (B,): how many they are."""
    whole = {"dtype": torch.long, "device": like.device}
    return {
        "hidden": like.new_zeros(rows, like.shape[-1]),
        "waiting": torch.zeros(rows, passes - 1, **whole),
        "waited": torch.full((rows,), NOT_READ, **whole),
    }


def due(token: Tensor, state: State) -> Tensor | None:
    """What the AR has to read (B, K) now that `token` (B,) has come, of rows that have waited alike; None: a module is
    next."""
    waited = int(state["waited"][0])
    if waited == NOT_READ:
        return token[:, None]
    return torch.cat([state["waiting"], token[:, None]], dim=1) if waited == state["waiting"].shape[1] else None


def wait(token: Tensor, state: State) -> State:
    """The token (B,) is read later, with those that wait; of rows that have waited alike."""
    at = int(state["waited"][0])
    waiting = state["waiting"].clone()
    waiting[:, at] = token
    return {"waiting": waiting, "waited": state["waited"] + 1}
