"""The LLM writes the answer, token by token, and cuts it into segments for the voice."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.llm.generate import GenerationConfig, choose
from freeze_omni.session.history import embed
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Job, Predict, Read
from freeze_omni.speech_decoder.segment import SegmentConfig, SegmentState, TextSegment, finish, push

INCOMPLETE = "\ufffd"


@dataclass(eq=False)
class Writer:
    """An answer in the making. `ids` and `hidden` grow together: the state that predicted a token is its own.

    last (E,): hidden state of the last position that `cache` holds, at first of the user's suffix. A token enters the
    cache when what follows it is asked for, so the last one may stay out, and so does the end token, which is no part
    of the answer: the next turn's prefix begins with it.
    """

    model: SpokenModel
    cache: LlmCache
    last: Tensor
    generation: GenerationConfig
    segmenting: SegmentConfig
    generator: torch.Generator | None = None
    ids: list[int] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    done: bool = False
    _text: str = ""
    _unshown: int = 0
    _waiting: SegmentState = SegmentState()

    @property
    def cut(self) -> bool:
        """Whether the limit ended the answer."""
        return self.done and len(self.ids) >= self.generation.max_new_tokens

    def writing(self) -> Job[tuple[str, list[TextSegment]]]:
        """One more token: the new text (maybe none yet), and the segments that became ready."""
        token = yield from self._next()
        if token is None:
            self.done = True
            segments, self._waiting = finish(self._waiting)
            return "", segments
        self.ids.append(token)
        self.hidden.append(self.last)
        self._unshown += 1
        text = self.model.llm.tokenizer.decode(self.ids, skip_special_tokens=True)
        if text.endswith(INCOMPLETE):  # half a character
            return "", []
        delta, self._text = text[len(self._text) :], text
        segments, self._waiting = push(self.segmenting, self._waiting, delta, self._unshown)
        self._unshown = 0
        return delta, segments

    def _next(self) -> Job[int | None]:
        """The next token; None where the answer ends."""
        if len(self.ids) >= self.generation.max_new_tokens:
            return None
        if self.ids:
            hidden = yield Read(embed(self.model, self.ids[-1:]), self.cache)
            self.last = hidden[-1].clone()
        logits = yield Predict(self.last)
        token = int(choose(logits[None], self.generation, self.generator)[0])
        return None if token in self.model.llm.end_ids else token

    def states(self, segment: TextSegment) -> Tensor:
        """Hidden states (N, E) of a segment's tokens."""
        return torch.stack(self.hidden[segment.first_token : segment.end_token])
