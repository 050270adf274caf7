"""Hidden states of the frozen LLM's answers, computed once: stage 2.3 reads each answer in every epoch."""

from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor


class AnswerStates:
    """Keeps states (N, E) in the memory of the host, until `most_bytes` are full. Later ones are not kept: a pass over
    more than fits would throw away each before it comes again."""

    def __init__(self, most_bytes: int) -> None:
        self.left_bytes = most_bytes
        self._kept: dict[Hashable, Tensor] = {}

    def of(
        self, keys: Sequence[Hashable], read: Callable[[list[int]], Sequence[Tensor]], device: torch.device
    ) -> list[Tensor]:
        """States of all that the LLM reads in rows with these keys. read: of the rows of these numbers."""
        missing = [number for number, key in enumerate(keys) if key not in self._kept]
        fresh = dict(zip(missing, read(missing) if missing else (), strict=True))
        for number, states in fresh.items():
            self._keep(keys[number], states)
        return [fresh[at] if at in fresh else self._kept[key].to(device) for at, key in enumerate(keys)]

    def _keep(self, key: Hashable, states: Tensor) -> None:
        size = states.numel() * states.element_size()
        if size <= self.left_bytes and key not in self._kept:
            self._kept[key] = states.detach().to("cpu", copy=True)
            self.left_bytes -= size
