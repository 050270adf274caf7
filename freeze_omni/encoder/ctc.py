"""The CTC head of stage 1.1, and its greedy path offline and in steps."""

import torch
from torch import Tensor, nn

from freeze_omni.shapes import silence_padding, valid_mask
from freeze_omni.streaming import State


def unit_starts(path: Tensor, before: Tensor, blank: int) -> Tensor:
    """Where a unit starts: best units path (B, T), before (B,) the unit of the frame before them (blank at the start),
    to (B, T) bool, True at the first frame of each non-blank run."""
    return (path != blank) & (path != torch.cat([before[:, None], path[:, :-1]], dim=1))


class CtcHead(nn.Module):
    """A linear layer over encoder frames, and what connectionist temporal classification needs."""

    def __init__(self, input_size: int, vocab_size: int, blank: int = 0):
        super().__init__()
        self.blank = blank
        self.output = nn.Linear(input_size, vocab_size)

    def forward(self, enc: Tensor) -> Tensor:
        """(B, T, input_size) to logits (B, T, vocab_size)."""
        return self.output(enc)

    def loss(self, logits: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
        """Negative log likelihood of an utterance, averaged over the batch: a scalar.

        targets (B, U) unit ids padded with anything. An utterance with too few frames for its units
        has no alignment: it counts as zero and gives no gradient.
        """
        log_probs = silence_padding(logits, lengths).float().log_softmax(-1).transpose(0, 1)
        targets = silence_padding(targets, target_lengths)
        losses = nn.functional.ctc_loss(
            log_probs, targets, lengths, target_lengths, blank=self.blank, reduction="none", zero_infinity=True
        )
        return losses.mean()

    def greedy(self, logits: Tensor, lengths: Tensor) -> list[list[int]]:
        """Units of the best path of each row, repeats joined and blanks dropped."""
        return self.units(logits, lengths, torch.full_like(lengths, self.blank))

    def units(self, logits: Tensor, lengths: Tensor, before: Tensor) -> list[list[int]]:
        """Units that start in logits (B, T, V) with lengths (B,); before (B,): the unit of the frame before."""
        path = logits.argmax(-1).masked_fill(~valid_mask(lengths, logits.shape[1]), self.blank)
        starts = unit_starts(path, before, self.blank)
        return [row[new].tolist() for row, new in zip(path, starts, strict=True)]

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        """The unit of the frame before the first: blank, (B,)."""
        device = device or self.output.weight.device
        return {"unit": torch.full((batch_size,), self.blank, dtype=torch.long, device=device)}

    def step(self, logits: Tensor, state: State) -> tuple[list[list[int]], State]:
        """Logits (B, T, vocab_size) of new frames to the units that start in them."""
        lengths = torch.full((len(logits),), logits.shape[1], device=logits.device)
        return self.units(logits, lengths, state["unit"]), self.advance(logits, state)

    def advance(self, logits: Tensor, state: State) -> State:
        """The state after logits (B, T, V)."""
        return {"unit": logits[:, -1].argmax(-1)}


class NoCtcHead(CtcHead):
    """For models without CTC head (imported ones): every frame is blank, nothing is transcribed or stored."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.blank = 0

    def forward(self, enc: Tensor) -> Tensor:
        """(B, T, D) to logits (B, T, 1) of the blank."""
        return enc.new_zeros(*enc.shape[:2], 1)

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> State:
        return {"unit": torch.zeros(batch_size, dtype=torch.long, device=device)}


def build_ctc(input_size: int, units: int) -> CtcHead:
    """The head for a number of units; none for 0."""
    return CtcHead(input_size, units) if units else NoCtcHead()
