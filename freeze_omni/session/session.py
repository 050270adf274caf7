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
from freeze_omni.session.answer import AnswerConfig, Answer, Generators, own_answers
from freeze_omni.session.listening import Turn, hearing, open_turn
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Job, drive
from freeze_omni.session.reducer import TurnState, TurnConfig, initial_turns, step


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
    `handling`, `speaking` and `writing` are the same as coroutines that ask for model work (`session.ops`), for who
    runs many sessions on one model: one of each at a time.
    """

    def __init__(self, model: SpokenModel, config: SessionConfig | None = None) -> None:
        """Raises ValueError where the LLM's context cannot hold the system prompt, a turn and an answer."""
        self._set_up(model, config or SessionConfig())
        drive(model, self._starting())

    @classmethod
    def beginning(cls, model: SpokenModel, config: SessionConfig) -> Job[SpeechSession]:
        """A new session as a coroutine: it reads the system prompt."""
        session = cls.__new__(cls)
        session._set_up(model, config)
        yield from session._starting()
        return session

    def _set_up(self, model: SpokenModel, config: SessionConfig) -> None:
        self.model, self.config = model, replace(config, turns=_as_heard(model, config.turns))
        self.answers = config.answers or own_answers(model)
        self.dialogue: TurnState = initial_turns(self.config.turns)
        self.generators = Generators.seeded(config.seed, model.llm.model.device)
        self.turn: Turn | None = None
        self.answering: Answer | None = None
        self.kept_text = ""
        self._answer_start = (0, 0)
        self._samples = np.zeros(0, dtype=np.float32)

    def _starting(self) -> Job[None]:
        system = self.model.system_prompt if self.config.system is None else self.config.system
        self.history = yield from past.starting(self.model, system)
        self._heard_behind: past.History | None = None
        self._check_room()

    def configure(self, turns: TurnConfig | None = None, answers: AnswerConfig | None = None) -> None:
        """Other rules from now on; an answer that is being made keeps its own. Raises ValueError as a new session."""
        before = self.config, self.answers
        self.config = replace(self.config, turns=_as_heard(self.model, turns or self.config.turns))
        self.answers = answers or self.answers
        try:
            self._check_room()
        except ValueError:
            self.config, self.answers = before
            raise
        if self.config.turns.gate != before[0].turns.gate:
            self.dialogue = replace(self.dialogue, gate_open=self.config.turns.gate == "open")

    def chunks(self, samples: np.ndarray) -> list[ev.AudioChunk]:
        """User audio (S,) float32 in [-1, 1] at the model's input rate, any number of samples, to whole chunks.

        The rest waits for the next call. Raises ValueError for other shapes or samples that are not finite.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"push takes finite samples of shape (S,), not {samples.shape}")
        samples = np.concatenate([self._samples, samples])
        size = self.model.rates.chunk_samples
        whole = len(samples) // size * size
        self._samples = samples[whole:].copy()
        return [ev.AudioChunk(samples[at : at + size].copy()) for at in range(0, whole, size)]

    def push(self, samples: np.ndarray) -> list[ev.Action]:
        """Hear samples as `chunks` takes them. Raises ValueError as it does."""
        return [action for chunk in self.chunks(samples) for action in self.handle(chunk)]

    def work(self, lane: str | None = None) -> list[ev.Action]:
        """One piece of the answer that is being made; nothing to do gives an empty list.

        lane: `write` or `speak`; without it, what is written is spoken before more is.
        """
        if self.answering is None:
            return []
        lane = lane or ("speak" if self.answering.may_speak else "write")
        return drive(self.model, self.speaking() if lane == "speak" else self.writing())

    def answer(self) -> Iterator[ev.Action]:
        """Make the pending answer to its end, action by action."""
        while self.answering is not None:
            yield from self.work()

    def handle(self, event: ev.Event | ev.Result) -> list[ev.Action]:
        """Pass an event to the dialogue and run the model for it. Raises ValueError for a text that is too long."""
        return drive(self.model, self.handling(event))

    def handling(self, event: ev.Event | ev.Result) -> Job[list[ev.Action]]:
        """`handle` as a coroutine."""
        if isinstance(event, ev.TextInput):
            self._check_text(event.text)
        waiting, actions = deque([event]), []
        while waiting:
            self.dialogue, out = step(self.config.turns, waiting.popleft(), self.dialogue)
            for item in out:
                if isinstance(item, ev.Work):
                    waiting.extend((yield from self._running(item)))
                    if isinstance(item, ev.StopAnswer):
                        actions.append(ev.AnswerKept(self.kept_text, "interrupted"))
                    elif isinstance(item, ev.AnswerTurn | ev.AnswerText):
                        actions.append(ev.AnswerBegun(self.dialogue.answers))
                else:
                    actions.append(item)
        return actions

    def speaking(self) -> Job[list[ev.Action]]:
        """One piece of the answer's voice; only while `answering.may_speak`."""
        return self._making(self.answering, self.answering.speaking())

    def writing(self) -> Job[list[ev.Action]]:
        """One more token of the answer; only while `answering.may_write`."""
        return self._making(self.answering, self.answering.writing())

    def _making(self, answering: Answer, job: Job[list[ev.Result]]) -> Job[list[ev.Action]]:
        results, actions = (yield from job), []
        for result in results:
            if self.answering is not answering:
                break
            if isinstance(result, ev.AnswerMade):  # kept first: its end may begin the next answer
                self._keep_answer()
                actions.append(ev.AnswerKept(self.kept_text, "length" if result.cut else "done"))
            actions += yield from self.handling(result)
        return actions

    def _running(self, work: ev.Work) -> Job[list[ev.Result]]:
        match work:
            case ev.OpenTurn():
                yield from self._opening()
            case ev.Listen(samples):
                heard, self.turn = yield from hearing(self.model, samples, self.turn)
                return [heard]
            case ev.DropTurn():
                self.turn = None
            case ev.AnswerTurn():
                turn, self.turn = self.turn, None
                # what was heard behind another history than the present one is read again
                same = self._heard_behind is self.history and turn.unread is None
                yield from self._begin_answer(torch.cat(turn.body), turn.cache if same else None)
            case ev.AnswerText(text):
                self.turn = None
                yield from self._begin_answer(past.embed(self.model, self.model.llm.chat.user_text(text)))
            case ev.StopAnswer(heard_tokens):
                self._keep_answer(heard_tokens)
            case ev.ReadSystem(text):
                self.history = yield from past.starting(self.model, text, self.history.turns)
                self._heard_behind = None
            case ev.KeepTurn(user, answer):
                yield from self._keep_turn(user, answer)
        return []

    def _opening(self) -> Job[None]:
        """A turn reads on a copy of the cache: it may be dropped, and an answer may go on meanwhile.

        Where that would not fit any more, the turn is heard behind a shorter history, and the answer that is being
        made keeps the longer one.
        """
        room = 2 * self.config.turns.max_turn_chunks + self._answer_room()
        behind = yield from past.making_room(self.model, self.history, room)
        if self.answering is None:
            self.history = behind
        self._heard_behind = behind
        cache = behind.cache.fork() if behind is self.history else behind.cache
        prefix = self.model.llm.chat.user_prefix(first=not behind.turns)
        self.turn = open_turn(self.model, cache, prefix)

    def _prefix(self) -> list[int]:
        return self.model.llm.chat.user_prefix(first=not self.history.turns)

    def _answer_room(self) -> int:
        return self.answers.generation.max_new_tokens + len(self.model.prompt.weight) + 32

    def _context(self) -> int:
        """Positions of the LLM's context that a dialogue may take."""
        whole = getattr(self.model.llm.config, "max_position_embeddings", None) or 2**31
        return whole - self.model.llm.own_positions

    def _check_room(self) -> None:
        """Turns end where the context does, at two positions a chunk."""
        system = len(self.model.llm.chat.system(self.history.system))
        chunks = (self._context() - system - self._answer_room()) // 2
        if chunks < self.config.turns.max_turn_chunks:
            self.config = replace(self.config, turns=replace(self.config.turns, max_turn_chunks=max(chunks, 1)))
        if chunks < 1:
            raise ValueError(
                f"a system prompt of {system} tokens and answers of up to {self.answers.generation.max_new_tokens} do "
                f"not fit into the LLM's context of {self._context()}: shorten the prompt or the answers"
            )

    def _check_text(self, text: str) -> None:
        tokens = len(self.model.llm.chat.user_text(text))
        system = len(self.model.llm.chat.system(self.history.system))
        if system + tokens + self._answer_room() > self._context():
            raise ValueError(f"a text of {tokens} tokens does not fit into the LLM's context of {self._context()}")

    def _begin_answer(self, body: Tensor, cache: LlmCache | None = None) -> Job[None]:
        """The LLM reads the end of the turn, and before it the turn where `cache` has not read it."""
        suffix = past.embed(self.model, self.model.llm.chat.user_suffix())
        turn, unread = torch.cat([body.to(suffix.dtype), suffix]), suffix
        if cache is None:
            needed = len(turn) + self._answer_room()
            self.history = yield from past.making_room(self.model, self.history, needed)
            cache = self.history.cache
            unread = torch.cat([past.embed(self.model, self._prefix()), turn])
        last = yield from past.reading(unread, cache)
        self.history = past.add_turn(self.history, cache, turn)
        self._heard_behind = None  # the cache from before the turn is not needed any more
        self._answer_start = (len(turn), cache.length)
        self._said: list[int] = []
        self.kept_text = ""
        self.answering = Answer.begin(self.model, last, cache, self.answers, self.generators)

    def _keep_turn(self, user: str, answer: str) -> Job[None]:
        chat, tokenizer = self.model.llm.chat, self.model.llm.tokenizer
        said = tokenizer(answer.strip(), add_special_tokens=False)["input_ids"]
        turn = past.embed(self.model, chat.user_text(user) + chat.user_suffix() + said)
        self.history = yield from past.making_room(self.model, self.history, len(turn) + self._answer_room())
        unread = torch.cat([past.embed(self.model, self._prefix()), turn])
        yield from past.reading(unread, self.history.cache)
        self.history = past.add_turn(self.history, self.history.cache, turn)

    def _keep_answer(self, heard_tokens: int | None = None) -> None:
        """The answer becomes history, up to what was heard of it; None keeps all.

        `kept_text` is what the history has of it then.
        """
        in_turn, in_cache = self._answer_start
        if self.answering is not None:
            self._said, self.answering = self.answering.writer.ids, None
            read = self._said[: self.history.cache.length - in_cache]
            if read:
                self.history = past.extend_last_turn(self.history, past.embed(self.model, read))
        if heard_tokens is not None:
            self.history = past.cut_last_turn(self.history, in_turn + heard_tokens)
            self._said = self._said[:heard_tokens]
        self.kept_text = self.model.llm.tokenizer.decode(self._said, skip_special_tokens=True)


def _as_heard(model: SpokenModel, turns: TurnConfig) -> TurnConfig:
    """The rules of turns for a model: without a transcript no words can tell a turn from silence."""
    return turns if model.transcribes else replace(turns, transcribed=False)
