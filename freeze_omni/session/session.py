"""SpeechSession: runs a model for one dialogue. Push audio in, take events and audio out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.engine import LlmOutput
from freeze_omni.session import events as ev
from freeze_omni.session import history as past
from freeze_omni.session.answer import Answer, AnswerConfig, own_answers
from freeze_omni.session.draft import Begun, Draft, Generators, begun, closing, spoken_mark, turn_ends
from freeze_omni.session.history import Turn, embed, hearing, open_turn, opened
from freeze_omni.session.ops import Job, drive
from freeze_omni.session.reducer import TurnConfig, TurnDetection, TurnState, drop_draft, initial_turns, step
from freeze_omni.system import FreezeOmni

ROOM_TO_SPARE = 32


@dataclass(frozen=True)
class SessionConfig:
    """What a user may choose, for a plain session, a slot of the engine and the protocol alike.

    None takes the packed model's own value. As in `TurnConfig`: turn_detection, gated (the engine always has a gate),
    interrupt, pre_roll_ms, threshold, max_turn_chunks, silent_chunks.

    open_above: probability of speech at which the gate opens. silence_ms: with VAD, silence after which it closes.
    early: answers are begun before the decision where the model says so (`SystemConfig.early`), with the same words.
    pauses: whoever plays the answers follows `PauseAudio` and `ResumeAudio`, so that they may pause while somebody
    speaks.
    answers: how answers are written, cut and spoken; max_new_tokens to top_p change its generation.
    speech: spoken answers; False for text alone. seed: of all sampling.
    """

    system: str | None = None
    turn_detection: TurnDetection = TurnDetection.STATE_HEAD
    gated: bool = False
    interrupt: bool = True
    pre_roll_ms: int = 960
    threshold: float = 0.5
    open_above: float = 0.5
    silence_ms: int = 500
    max_turn_chunks: int = 188
    silent_chunks: int = 12
    early: bool = True
    pauses: bool = False
    answers: AnswerConfig | None = None
    speech: bool = True
    max_new_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def turn_rules(self, model: FreezeOmni) -> TurnConfig:
        """The rules for the reducer, in chunks. Without a transcript, words cannot tell a turn from silence."""
        same = ("gated", "interrupt", "pauses", "threshold", "max_turn_chunks", "silent_chunks")
        return TurnConfig(
            detection=self.turn_detection,
            chunk_s=model.rates.chunk_s,
            pre_roll_chunks=round(self.pre_roll_ms / model.rates.chunk_ms),
            transcribed=model.transcribes,
            early=model.early if self.early else None,
            no_answer_above=model.config.no_answer_above,
            ahead=model.config.ahead if model.listening.end_samples else None,
            **{name: getattr(self, name) for name in same},
        )

    def answer_config(self, model: FreezeOmni) -> AnswerConfig:
        """How this user's answers are made. Raises ValueError for impossible values."""
        own = self.answers or own_answers(model)
        chosen = {name: getattr(self, name) for name in ("max_new_tokens", "temperature", "top_k", "top_p")}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        return replace(own, generation=replace(own.generation, **chosen), speech=own.speech and self.speech)


class Chunker:
    """Cuts samples, and what was played meanwhile, into whole audio chunks of `size`; the rest waits for the next
    call."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rest = np.zeros((2, 0), dtype=np.float32)

    def __call__(self, samples: np.ndarray, played: np.ndarray | None = None) -> list[ev.AudioChunk]:
        """User audio (S,) in [-1, 1] at the model's input rate, and what the system played meanwhile (S,), None for
        nothing. Raises ValueError for other shapes, NaN, infinity."""
        samples = np.asarray(samples, dtype=np.float32)
        played = np.zeros_like(samples) if played is None else np.asarray(played, dtype=np.float32)
        if samples.ndim != 1 or played.shape != samples.shape or not np.isfinite([samples, played]).all():
            raise ValueError(f"audio must be finite samples of shape (S,), not {samples.shape} and {played.shape}")
        sides = np.concatenate([self._rest, [samples, played]], axis=1)
        whole = sides.shape[1] // self._size * self._size
        self._rest = sides[:, whole:].copy()
        return [self._chunk(*sides[:, at : at + self._size]) for at in range(0, whole, self._size)]

    def _chunk(self, samples: np.ndarray, played: np.ndarray) -> ev.AudioChunk:
        return ev.AudioChunk(samples.copy(), played.copy() if played.any() else None)

    def clear(self) -> None:
        self._rest = self._rest[:, :0]


class SpeechSession:
    """A dialogue with a model. Holds all that belongs to one user; the model is shared and never changed.

    `push` hears samples of any number and returns the resulting actions. `work` makes one small piece of the pending
    answer, so that a caller can listen between pieces; `answer` makes all of it. While `may_work` without an answer,
    there is a draft of one to work at, which says nothing yet. `handling` and `making` are the same as coroutines that
    ask for operations of the model (`session.ops`), for an engine that runs many sessions.
    """

    def __init__(self, model: FreezeOmni, config: SessionConfig | None = None) -> None:
        """Raises ValueError for a configuration that the model cannot follow, such as a system prompt that leaves no
        room in the LLM's context for a turn and an answer."""
        self._set_up(model, config or SessionConfig())
        drive(model, self._starting())

    @classmethod
    def beginning(cls, model: FreezeOmni, config: SessionConfig) -> Job[SpeechSession]:
        """A new session as a coroutine: it reads the system prompt. Raises ValueError at once, as a new session."""
        session = cls.__new__(cls)
        session._set_up(model, config)
        return session._starting()

    def _set_up(self, model: FreezeOmni, config: SessionConfig) -> None:
        self.model, self.config = model, config
        self._keeps_text = model.config.history == "text"
        self.rules, self.answers = config.turn_rules(model), config.answer_config(model)
        self.state: TurnState = initial_turns(self.rules)
        self.chunks = Chunker(model.rates.chunk_samples)
        self.turn: Turn | None = None
        self.answering: Answer | None = None
        self.draft: Draft | None = None
        self.drafts = 0  # begun so far
        self.kept_text = ""
        text, speech = (torch.Generator(model.device).manual_seed(2 * config.seed + lane) for lane in (0, 1))
        self._draws: Generators = (text, speech)
        self._answer_start = (0, 0)
        # of the last answer: LLM positions before it, of them before its turn; tokens of its text; speech tokens
        self.counts = (0, 0, 0, 0)
        self._said: list[int] = []
        self._spoken_text: str | None = None  # of the last turn, while the history has its speech and should have text
        self._heard_after: past.History | None = None  # the history after which the open turn was heard
        self._next: tuple[past.History, Turn] | None = None  # the turn after a history, opened while nobody waited

    def _starting(self) -> Job[SpeechSession]:
        self._check_room()
        self.history = yield from past.starting(self.model, self._system(self.config))
        yield from self._opening_next()
        return self

    def _system(self, config: SessionConfig) -> str:
        return self.model.system_prompt if config.system is None else config.system

    def configure(self, config: SessionConfig) -> list[ev.Action]:
        """Follow another configuration from now on; an answer that is being made keeps its own, the seed stays. Raises
        ValueError as a new session, which leaves all as it was."""
        return drive(self.model, self.configuring(config))

    def configuring(self, config: SessionConfig) -> Job[list[ev.Action]]:
        """`configure` as a coroutine."""
        before = self.config, self.rules, self.answers
        self.config, self.rules, self.answers = config, config.turn_rules(self.model), config.answer_config(self.model)
        try:
            self._check_room()
        except ValueError:
            self.config, self.rules, self.answers = before
            raise
        if self.rules.behind_gate != before[1].behind_gate:
            self.state = replace(self.state, gate_open=not self.rules.behind_gate)
        self.state, _ = drop_draft(self.state)  # it was begun by the configuration before
        self.draft = None
        if config.system == before[0].system:
            return []
        return (yield from self.handling(ev.SystemPrompt(self._system(config))))

    def push(self, samples: np.ndarray, played: np.ndarray | None = None) -> list[ev.Action]:
        """Hear samples, as `Chunker` takes them. Raises ValueError as it does."""
        return drive(self.model, self.pushing(samples, played))

    def pushing(self, samples: np.ndarray, played: np.ndarray | None = None) -> Job[list[ev.Action]]:
        """`push` as a coroutine."""
        actions: list[ev.Action] = []
        for chunk in self.chunks(samples, played):
            actions += yield from self.handling(chunk)
        return actions

    def work(self, lane: str | None = None) -> list[ev.Action]:
        """One piece of the answer or of a draft, if any; lane: `write` or `speak`, by default what is written is spoken
        first."""
        return drive(self.model, self.working(lane))

    def working(self, lane: str | None = None) -> Job[list[ev.Action]]:
        """`work` as a coroutine."""
        if not self.may_work:
            return []
        return (yield from self.making(lane or ("speak" if self.may("speak") else "write")))

    @property
    def under_way(self) -> Answer | Draft | None:
        """What is being made: an answer, or before the decision a draft; the answer of a draft once that has one."""
        if self.answering is not None or self.draft is None or self.draft.begun is None:
            return self.answering or self.draft
        return self.draft.begun.answer

    @property
    def may_work(self) -> bool:
        return self.may("write") or self.may("speak")

    def may(self, lane: str) -> bool:
        """Whether there is work in a lane, of the answer or of a draft."""
        made = self.answering or self.draft
        return made is not None and made.may(lane)

    def answer(self) -> Iterator[ev.Action]:
        """Make the pending answer to its end, action by action."""
        while self.answering is not None:
            yield from self.work()

    def handle(self, event: ev.Event | ev.Result) -> list[ev.Action]:
        """Pass an event to the reducer and run the model for it. Raises ValueError for a text that is too long."""
        return drive(self.model, self.handling(event))

    def handling(self, event: ev.Event | ev.Result) -> Job[list[ev.Action]]:
        """`handle` as a coroutine."""
        if isinstance(event, ev.TextInput):
            self._check_text(self.model.llm.order.text(event.text))
        elif isinstance(event, ev.Remember):
            self._check_text(self.model.llm.order.text_turn(event.user, event.answer))
        actions: list[ev.Action] = []
        if self._ends_turn(event):
            actions += yield from self._hearing_end()
            if not self.state.listening:  # the state head has ended the turn
                return actions
        waiting: deque[ev.Event | ev.Result] = deque([event])
        while waiting:
            self.state, out = step(self.rules, waiting.popleft(), self.state)
            for item in out:
                if isinstance(item, ev.Work):
                    waiting.extend((yield from self._running(item)))
                    if isinstance(item, ev.StopAnswer):
                        actions.append(ev.AnswerKept(self.kept_text, "interrupted"))
                    elif isinstance(item, ev.AnswerTurn | ev.AnswerText):
                        actions.append(ev.AnswerBegun(self.state.answers))
                else:
                    actions.append(item)
        if isinstance(event, ev.Event) and self.turn is None and self.answering is None:
            yield from self._keeping_text()  # nobody waits now
            if isinstance(event, ev.Played | ev.SystemPrompt) and not self.state.answering:
                yield from self._opening_next()
        return actions

    def making(self, lane: str) -> Job[list[ev.Action]]:
        """One piece of the answer or of a draft, as a coroutine; only while `may(lane)`."""
        made, actions = self.answering or self.draft, list[ev.Action]()
        under_way = self.under_way
        for result in (yield from made.make(lane)):
            if self.under_way is not under_way:
                break
            if isinstance(result, ev.AnswerMade):  # kept first: its end may begin the next answer
                self._keep_answer()
                actions.append(ev.AnswerKept(self.kept_text, "length" if result.cut else "done"))
            actions += yield from self.handling(result)
        return actions

    def _ends_turn(self, event: ev.Event | ev.Result) -> bool:
        """Whether the user's turn ends here while its last sound has not been heard yet (see `Listening`)."""
        by_gate = isinstance(event, ev.VadClosed) and self.rules.detection is TurnDetection.VAD
        asked = by_gate or isinstance(event, ev.Timeout | ev.Respond)
        return asked and self.state.listening and self.model.listening.end_samples > 0

    def _hearing_end(self) -> Job[list[ev.Action]]:
        actions: list[ev.Action] = []
        silence = np.zeros(self.model.listening.end_samples, dtype=np.float32)
        for heard in (yield from self._running(ev.Listen(silence))):
            actions += yield from self.handling(heard)
        return actions

    def _running(self, work: ev.Work) -> Job[list[ev.Result]]:
        match work:
            case ev.OpenTurn():
                yield from self._opening()
            case ev.Listen(samples, played):
                ahead = self.rules.ahead is not None and self.rules.detection is TurnDetection.STATE_HEAD
                heard, self.turn = yield from hearing(self.model, samples, self.turn, played, ahead)
                return [heard]
            case ev.HearAhead():
                self.turn = self.turn.ahead
            case ev.DropTurn():
                self.turn = None
            case ev.DraftAnswer():
                self.draft = self._drafted()
            case ev.DropDraft():
                self.draft = None
            case ev.AnswerTurn():
                turn, self.turn = self.turn, None
                draft, self.draft = self.draft, None
                yield from self._answer_turn(turn, draft)
            case ev.AnswerText(text):
                self.turn = None
                yield from self._answer_unread(embed(self.model, self.model.llm.order.text(text)))
            case ev.StopAnswer(heard_tokens):
                self._keep_answer(heard_tokens)
            case ev.ReadSystem(text):
                yield from self._keeping_text()
                self.history = yield from past.with_system(self.model, self.history, text, self._answer_room())
                self._heard_after = None
            case ev.KeepTurn(user, answer):
                yield from self._keeping_text()
                yield from self._reading_turn(embed(self.model, self.model.llm.order.text_turn(user, answer)))
        return []

    def _opening(self) -> Job[None]:
        """A turn reads on a copy of the cache: it may be dropped, and an answer may go on meanwhile. If that would no
        longer fit, the turn is heard after a shorter history, and the answer being made keeps the longer one."""
        if self.answering is None:
            yield from self._keeping_text()
        before = yield from past.making_room(self.model, self.history, self._turn_room())
        if self.answering is None:
            self.history = before
        self._heard_after = before
        ready, self._next = self._next, None
        if ready is not None and ready[0] is before:
            self.turn = ready[1]
            return
        cache = before.cache.fork() if before is self.history else before.cache
        self.turn = open_turn(self.model, cache, before.prefix(self.model))

    def _opening_next(self) -> Job[None]:
        """While nobody waits the LLM reads what opens a turn, so that the first step of the next one reads words alone.
        If the history changes before, it is read again. Not where an idle session would hold its history twice."""
        if self.model.llm.forks_share and (self._next is None or self._next[0] is not self.history):
            self.history = yield from past.making_room(self.model, self.history, self._turn_room())
            turn = open_turn(self.model, self.history.cache.fork(), self.history.prefix(self.model))
            self._next = self.history, (yield from opened(turn))

    def _read_as_is(self, turn: Turn) -> bool:
        """Whether a turn was heard after the present history: otherwise it is read again."""
        return self._heard_after is self.history and turn.unread is None and self._spoken_text is None

    def _drafted(self) -> Draft | None:
        """A draft of the answer to the open turn; None where that would have to be read again."""
        if not self._read_as_is(self.turn):
            return None
        self.drafts += 1
        return Draft(self.model, self.history, self.turn, self.answers, self._draws)

    def _answer_turn(self, turn: Turn, draft: Draft | None) -> Job[None]:
        """Of a draft that has hardly begun nothing is used."""
        if draft is not None and draft.begun is not None:
            mark, self._draws = draft.mark, draft.draws
            self._begin(draft.begun)
        else:
            mark = spoken_mark(self.model, turn)
            if self._read_as_is(turn):
                config, draws = self.answers, self._draws
                self._begin((yield from closing(self.model, self.history, turn, mark, turn.cache, config, draws)))
            else:
                yield from self._answer_unread(torch.cat(turn.body), mark)
        self._spoken_text = turn.text.strip() + mark if self._keeps_text else None

    def _answer_unread(self, body: Tensor, mark: str = "") -> Job[None]:
        """The LLM reads a whole turn, and its answer begins. body (P, E): without what closes it."""
        yield from self._keeping_text()
        turn, _ = turn_ends(self.model, body, mark)
        last = yield from self._reading_turn(turn, predict=True)
        self._begin(begun(self.model, self.history, last, self.answers, self._draws))

    def _begin(self, new: Begun) -> None:
        self.answering, self.history, self._answer_start = new
        self._heard_after = self._next = None  # the cache from before the turn is not needed any more
        self._said, self.kept_text = [], ""

    def _reading_turn(self, turn: Tensor, predict: bool = False) -> Job[LlmOutput]:
        """A whole turn (P, E) after its prefix becomes history."""
        self.history = yield from past.making_room(self.model, self.history, len(turn) + self._answer_room())
        unread = torch.cat([embed(self.model, self.history.prefix(self.model)), turn])
        last = yield from past.reading(unread, self.history.cache, predict)
        self.history = self.history.add_turn(self.history.cache, turn)
        return last

    def _keep_answer(self, heard_tokens: int | None = None) -> None:
        """The answer becomes history, up to what was heard of it (None: all); `kept_text` is what the history has."""
        in_turn, in_cache = self._answer_start
        if self.answering is not None:
            self.counts = (in_cache, in_cache - in_turn, len(self.answering.writer.ids), self.answering.tokens_made)
            self._said, self.answering = self.answering.writer.ids, None
            read = self._said[: self.history.cache.length - in_cache]
            if read:
                self.history = self.history.extend_last_turn(embed(self.model, read))
        if heard_tokens is not None:
            self.history = self.history.cut_last_turn(in_turn + heard_tokens)
            self._said = self._said[:heard_tokens]
        self.kept_text = self.model.llm.tokenizer.decode(self._said, skip_special_tokens=True)

    def _keeping_text(self) -> Job[None]:
        """With `history: text` the LLM reads the words of the last spoken turn in place of its speech."""
        text, self._spoken_text = self._spoken_text, None
        if text is None or not self.history.turns:
            return
        order, in_turn = self.model.llm.order, self._answer_start[0]
        question = embed(self.model, order.text(text) + order.suffix())
        answer = self.history.turns[-1][in_turn:]
        self.history = yield from past.rereading_last_turn(self.model, self.history, question, answer)
        self._answer_start = (len(question), 0)

    def _turn_room(self) -> int:
        return 2 * self.rules.max_turn_chunks + self._answer_room()

    def _answer_room(self) -> int:
        return self.answers.generation.max_new_tokens + len(self.model.prompt.weight) + ROOM_TO_SPARE

    def _system_positions(self) -> int:
        return len(self.model.llm.order.system(self._system(self.config)))

    def _check_room(self) -> None:
        """Turns end where the context does, at two positions a chunk. Raises ValueError before anything is read."""
        system, context = self._system_positions(), self.model.llm.context_positions
        chunks = (context - system - self._answer_room()) // 2
        if chunks < self.rules.max_turn_chunks:
            self.rules = replace(self.rules, max_turn_chunks=max(chunks, 1))
        if chunks < 1:
            raise ValueError(
                f"a system prompt of {system} tokens and answers of up to {self.answers.generation.max_new_tokens} do "
                f"not fit into the LLM's context of {context}: shorten the prompt or the answers"
            )

    def _check_text(self, ids: list[int]) -> None:
        context = self.model.llm.context_positions
        if self._system_positions() + len(ids) + self._answer_room() > context:
            raise ValueError(f"a text of {len(ids)} tokens does not fit into the LLM's context of {context}")
