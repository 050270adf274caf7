"""SpeechSession: runs a model for one dialogue. Push audio in, take events and audio out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.cache import LlmCache
from freeze_omni.session import events as ev
from freeze_omni.session import history as past
from freeze_omni.session.answering import AnswerConfig, Answering, own_answers
from freeze_omni.session.listening import Turn, listen, open_turn
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.reducer import Dialogue, TurnConfig, initial_dialogue, step


@dataclass(frozen=True)
class SessionConfig:
    """answers, system: None takes the packed model's own. seed: of all sampling."""

    turns: TurnConfig = field(default_factory=TurnConfig)
    answers: AnswerConfig | None = None
    system: str | None = None
    seed: int = 0


class SpeechSession:
    """A dialogue with a model. Holds all that belongs to one user; the model is shared and never changed.

    `push` listens: it takes samples of any number and gives what came of them. `work` does one small
    piece of the pending answer, so that a caller can listen between pieces; `answer` does all of it.
    """

    def __init__(self, model: SpokenModel, config: SessionConfig | None = None) -> None:
        self.model, self.config = model, config or SessionConfig()
        if not model.transcribes:
            self.config = replace(self.config, turns=replace(self.config.turns, transcribed=False))
        self.answers = self.config.answers or own_answers(model)
        self.dialogue: Dialogue = initial_dialogue(self.config.turns)
        self.generator = torch.Generator(model.llm.model.device).manual_seed(self.config.seed)
        system = model.system_prompt if self.config.system is None else self.config.system
        self.history = past.read(model, system)
        self.turn: Turn | None = None
        self.answering: Answering | None = None
        self._heard_behind = self.history
        self._answer_start = (0, 0)
        self._samples = np.zeros(0, dtype=np.float32)

    def push(self, samples: np.ndarray) -> list[ev.Action]:
        """Take user audio (S,) float32 in [-1, 1] at the model's input rate, any number of samples.

        Whole chunks are read; the rest waits for the next call. Raises ValueError for other shapes or
        samples that are not finite.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"push takes finite samples of shape (S,), not {samples.shape}")
        self._samples = np.concatenate([self._samples, samples])
        size, actions = self.model.rates.chunk_samples, []
        while len(self._samples) >= size:
            chunk, self._samples = self._samples[:size], self._samples[size:]
            actions += self.handle(ev.AudioChunk(chunk))
        return actions

    def work(self) -> list[ev.Action]:
        """One piece of the answer that is being made; nothing to do gives an empty list."""
        actions: list[ev.Action] = []
        for result in self.answering.work() if self.answering else ():
            actions += self.handle(result)
            if isinstance(result, ev.AnswerMade):
                self._keep_answer()
        return actions

    def answer(self) -> Iterator[ev.Action]:
        """Make the pending answer to its end, action by action."""
        while self.answering is not None:
            yield from self.work()

    def handle(self, event: ev.Event | ev.Result) -> list[ev.Action]:
        """Pass an event to the dialogue and run the model for it."""
        waiting, actions = deque([event]), []
        while waiting:
            self.dialogue, out = step(self.config.turns, waiting.popleft(), self.dialogue)
            for item in out:
                if isinstance(item, ev.Work):
                    waiting.extend(self._run(item))
                else:
                    actions.append(item)
        return actions

    def _run(self, work: ev.Work) -> list[ev.Result]:
        match work:
            case ev.OpenTurn():
                self.turn = self._open()
            case ev.Listen(samples):
                if self.turn is not None:  # a decision inside the pre-roll may have closed it
                    heard, self.turn = listen(self.model, samples, self.turn)
                    return [heard]
            case ev.DropTurn():
                self.turn = None
            case ev.AnswerTurn():
                turn, self.turn = self.turn, None
                # what was heard behind another history than the present one is read again
                same = self._heard_behind is self.history
                self._begin_answer(torch.cat(turn.body), turn.cache if same else None)
            case ev.AnswerText(text):
                self.turn = None
                self._begin_answer(past.embed(self.model, self.model.llm.chat.user_text(text)))
            case ev.StopAnswer(heard_tokens):
                self._keep_answer(heard_tokens)
            case ev.ReadSystem(text):
                self.history = past.read(self.model, text, self.history.turns)
        return []

    def _open(self) -> Turn:
        """A turn reads on a copy of the cache: it may be dropped, and an answer may go on meanwhile."""
        if self.answering is None:
            speech = 2 * self.config.turns.max_turn_chunks
            self.history = past.make_room(self.model, self.history, speech + self._answer_room())
        self._heard_behind = self.history
        return open_turn(self.model, self.history.cache.fork(), self._prefix())

    def _prefix(self) -> list[int]:
        return self.model.llm.chat.user_prefix(first=not self.history.turns)

    def _answer_room(self) -> int:
        return self.answers.generation.max_new_tokens + len(self.model.prompt.weight) + 32

    @torch.no_grad()
    def _begin_answer(self, body: Tensor, cache: LlmCache | None = None) -> None:
        """The LLM reads the end of the turn, and before it the turn where `cache` has not read it."""
        suffix = past.embed(self.model, self.model.llm.chat.user_suffix())
        turn, unread = torch.cat([body.to(suffix.dtype), suffix]), suffix
        if cache is None:
            needed = len(turn) + self._answer_room()
            self.history = past.make_room(self.model, self.history, needed)
            cache = self.history.cache
            unread = torch.cat([past.embed(self.model, self._prefix()), turn])
        hidden, _ = self.model.llm(unread[None], cache=cache)
        self.history = past.add_turn(self.history, cache, turn)
        self._answer_start = (len(turn), cache.length)
        self.answering = Answering.begin(self.model, hidden[0, -1], cache, self.answers, self.generator)

    def _keep_answer(self, heard_tokens: int | None = None) -> None:
        """The answer becomes history, up to what was heard of it; None keeps all."""
        in_turn, in_cache = self._answer_start
        if self.answering is not None:
            ids, self.answering = self.answering.writer.ids, None
            read = ids[: self.history.cache.length - in_cache]
            self.history = past.extend_last_turn(self.history, past.embed(self.model, read))
        if heard_tokens is not None:
            self.history = past.cut_last_turn(self.history, in_turn + heard_tokens)
