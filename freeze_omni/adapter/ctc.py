"""Our adapter: it sends a position to the LLM at the frame where the CTC path starts a unit.

So speech has about as many positions as its text has tokens: few, with no filler, near to what the LLM was trained on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from freeze_omni.adapter.output import Adapted, Adapter, AdapterOutput, Device, chunk_ends, chunk_means
from freeze_omni.encoder.ctc import unit_starts
from freeze_omni.encoder.search import Said
from freeze_omni.shapes import valid_mask
from freeze_omni.streaming import State


@dataclass(frozen=True)
class CtcAdapterConfig:
    """posterior: a position carries the expected embedding of its unit (if the CTC units are tokens of the LLM), plus
    the learned projection of its frame. scale: of that expectation. best: of the likeliest unit alone, which the LLM
    reads as text, not a mixture of two; the gradient stays the expectation's. blank: the CTC head's. chunk_frames:
    encoder frames of a streaming step."""

    posterior: bool = True
    scale: float = 1.0
    best: bool = False
    blank: int = 0
    chunk_frames: int = 4


class CtcAdapter(Adapter):
    """Sends a position at the first frame of each run of a non-blank unit in the greedy CTC path.

    Its value is the posterior over non-blank units times their embeddings, plus a projection of the encoder frame. With
    a posterior the projection starts at zero. The embeddings are rows of the frozen LLM: never trained, never saved.
    """

    def __init__(self, config: CtcAdapterConfig, input_size: int, llm_size: int, unit_embeds: Tensor | None = None):
        """unit_embeds (V, llm_size): of the CTC units. Raises ValueError: a posterior without, or another width."""
        super().__init__()
        self.config = config
        self.project = nn.Linear(input_size, llm_size)
        self.register_buffer("unit_embeds", None, persistent=False)
        if config.posterior:
            if unit_embeds is None or unit_embeds.shape[-1] != llm_size:
                found = "none" if unit_embeds is None else f"width {unit_embeds.shape[-1]}"
                raise ValueError(
                    f"posterior: true needs embeddings of width {llm_size} for the CTC units, "
                    f"found {found}: use units that are tokens of the LLM, or posterior: false"
                )
            self.unit_embeds = unit_embeds.detach().clone()
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def initial_state(self, batch_size: int, device: Device = None, dtype: torch.dtype | None = None) -> State:
        """The unit of the frame before the first: blank, (B,) long whatever the dtype."""
        device = device or self.project.weight.device
        return {"unit": torch.full((batch_size,), self.config.blank, dtype=torch.long, device=device)}

    def adapt(
        self, enc: Tensor, lengths: Tensor, ctc_logits: Tensor | None, state: State, said: Said | None = None
    ) -> Adapted:
        """Gradient reaches the encoder through the posterior and the projection; the choice of frames has none."""
        if ctc_logits is None:
            raise ValueError("the CTC adapter needs the CTC head's logits: pass ctc_logits")
        blank, chunk = self.config.blank, self.config.chunk_frames
        path = ctc_logits.argmax(-1).masked_fill(~valid_mask(lengths, enc.shape[1]), blank)
        starts = unit_starts(path, state["unit"], blank)
        sent = starts.cumsum(1)
        counts = sent[:, -1]
        rows, frames = starts.nonzero(as_tuple=True)
        values = self._values(enc[rows, frames], ctc_logits[rows, frames])
        embeds = values.new_zeros(len(enc), int(counts.max()), values.shape[-1])
        embeds = embeds.index_put((rows, sent[rows, frames] - 1), values)
        last = chunk_ends(lengths, enc.shape[1], chunk)
        ends = torch.where(last > 0, sent.gather(1, (last - 1).clamp_min(0)), 0)
        output = AdapterOutput(embeds, counts, ends, chunk_means(enc, lengths, chunk))
        return output, {"unit": path[:, -1]}

    def _values(self, frames: Tensor, logits: Tensor) -> Tensor:
        """Frames (N, input_size) and logits (N, V) that start a unit to (N, llm_size)."""
        values = self.project(frames)
        if self.unit_embeds is None:
            return values
        hidden = torch.zeros_like(logits, dtype=torch.bool)
        hidden[:, self.config.blank] = True
        posterior = logits.float().masked_fill(hidden, float("-inf")).softmax(-1)
        expected = posterior.to(self.unit_embeds.dtype) @ self.unit_embeds
        if self.config.best:
            expected = expected + (self.unit_embeds[posterior.argmax(-1)] - expected).detach()
        return values + self.config.scale * expected.to(values.dtype)
