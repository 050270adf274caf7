"""The LLM writes the answer, token by token, and cuts it into segments for the voice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.generate import GenerationConfig, generate
from freeze_omni.session.model import SpokenModel
from freeze_omni.speech_decoder.segment import Segment, SegmentConfig, SegmentState, finish, push

INCOMPLETE = "\ufffd"


@dataclass
class Writer:
    """An answer in the making. `ids` and `hidden` grow together: the state that predicted a token is its own."""

    model: SpokenModel
    segmenting: SegmentConfig
    limit: int
    stream: Iterator[tuple[int, Tensor]]
    ids: list[int] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    done: bool = False
    _text: str = ""
    _unshown: int = 0
    _waiting: SegmentState = SegmentState()

    @classmethod
    def begin(
        cls,
        model: SpokenModel,
        last: Tensor,
        cache: LlmCache,
        generation: GenerationConfig,
        segmenting: SegmentConfig,
        generator: torch.Generator | None = None,
    ) -> Writer:
        """last (E,): hidden state of the last position that `cache` holds, the user's suffix."""
        stream = generate(model.llm, last, cache, generation, generator)
        return cls(model, segmenting, generation.max_new_tokens, stream)

    @property
    def cut(self) -> bool:
        """Whether the limit ended the answer."""
        return self.done and len(self.ids) >= self.limit

    def write(self) -> tuple[str, list[Segment]]:
        """One more token: the new text (maybe none yet), and the segments that became ready."""
        found = next(self.stream, None)
        if found is None:
            self.done = True
            segments, self._waiting = finish(self._waiting)
            return "", segments
        self.ids.append(found[0])
        self.hidden.append(found[1])
        self._unshown += 1
        text = self.model.llm.tokenizer.decode(self.ids, skip_special_tokens=True)
        if text.endswith(INCOMPLETE):  # half a character
            return "", []
        delta, self._text = text[len(self._text) :], text
        segments, self._waiting = push(self.segmenting, self._waiting, delta, self._unshown)
        self._unshown = 0
        return delta, segments

    def states(self, segment: Segment) -> Tensor:
        """Hidden states (N, E) of a segment's tokens."""
        return torch.stack(self.hidden[segment.first_token : segment.end_token])
