"""A slot: one user's session, the audio and events that wait for it, and the model work that it asks for.

Three lanes ask independently: `listen` (events, in order), `write` and `speak` (the answer). Nothing here runs the
model or knows the time; both come from the scheduler.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from freeze_omni.frontend.vad import Detector, Gate
from freeze_omni.engine.config import SessionConfig, ServingConfig
from freeze_omni.engine.playback import Playback
from freeze_omni.session import events as ev
from freeze_omni.session.answer import Answer, own_answers
from freeze_omni.session.log import Recorder
from freeze_omni.session.model import SpokenModel
from freeze_omni.session.ops import Job, Op
from freeze_omni.session.session import SpeechSession


@dataclass(frozen=True)
class Refused:
    """An event or a choice that cannot be followed; the session goes on."""

    reason: str


@dataclass(frozen=True)
class Gated:
    """The gate has opened or closed in the chunk that ended `time_s` after the session's start."""

    is_open: bool
    time_s: float


Output = ev.Action | Gated | Refused
AHEAD_S = 0.5
LISTEN, WRITE, SPEAK = "listen", "write", "speak"


class Overrun(RuntimeError):
    """A session with more audio waiting than it may have."""


@dataclass
class Lane:
    """A job under way, the operation that it waits for, and the event or answer that it is for.

    worked: the model has done something for it.
    """

    job: Job[Any]
    op: Op | None
    event: ev.Event | SessionConfig | None = None
    arrived_s: float = 0.0
    answering: Answer | None = None
    worked: bool = False


class Slot:
    """See the head of this file. `emit` is given what came of a piece of work, `observe` what was measured: seconds of
    listen_s (of chunks that the model heard: from arrival to end; what comes more than AHEAD_S ahead of real time
    counts from there, as a flood must not have others refused), first_audio_s, heard_s, spoken_s."""

    def __init__(
        self,
        model: SpokenModel,
        serving: ServingConfig,
        config: SessionConfig,
        detector: Detector,
        emit: Callable[[list[Output]], None],
        observe: Callable[[str, float], None] = lambda name, value: None,
        recorder: Recorder | None = None,
    ) -> None:
        """Raises ValueError for choices that the model cannot follow."""
        self.model, self.serving, self.config, self.emit = model, serving, config, emit
        self.observe, self.recorder, self._detector = observe, recorder, detector
        self.session: SpeechSession | None = None
        self.playback: Playback | None = None
        self.lanes: dict[str, Lane] = {}
        self._answer: Answer | None = None
        self._told = 0
        self._inbox: deque[tuple[ev.Event | SessionConfig, float]] = deque()
        self._todo: deque[tuple[ev.Event | SessionConfig, float]] = deque()
        self._waiting_chunks = self._chunks = 0
        self._due: deque[float] = deque()
        self._paced_s, self._heard_due_s = float("-inf"), 0.0
        self._part = np.zeros(0, dtype=np.float32)
        self._gate = Gate(detector, config.gate_config(serving.gate))
        self._gate_state = self._gate.initial_state(1)
        self._begin = SpeechSession.beginning(model, config.session_config(model.rates, own_answers(model)))

    # what comes in

    def put_audio(self, samples: np.ndarray, now_s: float) -> None:
        """User audio (S,) at the input rate. Raises Overrun, and ValueError for samples that are none."""
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"audio is finite samples of shape (S,), not {samples.shape}")
        samples = np.concatenate([self._part, samples.astype(np.float32)])
        size = self.model.rates.chunk_samples
        whole = len(samples) // size * size
        self._part = samples[whole:].copy()
        for at in range(0, whole, size):
            if self._waiting_chunks >= self.serving.max_waiting_chunks:
                raise Overrun(f"{self._waiting_chunks} chunks of audio wait to be heard: send no faster than real time")
            self._waiting_chunks += 1
            self._paced_s = max(now_s, self._paced_s + self.model.rates.chunk_s)
            self._due.append(max(now_s, self._paced_s - AHEAD_S))
            self._inbox.append((ev.AudioChunk(samples[at : at + size].copy()), now_s))

    def put(self, event: ev.Event | SessionConfig, now_s: float) -> None:
        """An event, or other choices from now on, behind what waits already."""
        if isinstance(event, ev.Clear):
            self._part = self._part[:0]
        self._inbox.append((event, now_s))

    @property
    def waiting_chunks(self) -> int:
        return self._waiting_chunks

    @property
    def busy(self) -> bool:
        """Something is to be done, now or when time has passed."""
        return bool(self._inbox or self._todo or self.lanes or self.session is None or self.playback)

    # what is to be done

    def prepare(self, now_s: float) -> None:
        """Begin what can begin: afterwards each lane is empty or waits for its operation."""
        if self.session is None and LISTEN not in self.lanes:
            self._start(LISTEN, Lane(self._begin, None, arrived_s=now_s), now_s)
        self._tell_played(now_s)
        while self.session is not None and LISTEN not in self.lanes and (self._todo or self._inbox):
            event, arrived_s = self._next(now_s)
            self._start(LISTEN, Lane(self._handling(event), None, event, arrived_s), now_s)
        self._follow_answer(now_s)

    def deliver(self, name: str, result: Any, now_s: float) -> None:
        """Give a lane the result of its operation; it goes on to its next one, or ends."""
        lane = self.lanes[name]
        try:
            lane.op, lane.worked = lane.job.send(result), True
            return
        except StopIteration as end:
            del self.lanes[name]
            self._ended(name, lane, end.value, now_s)
        except ValueError as error:
            del self.lanes[name]
            if name != LISTEN or self.session is None:
                raise
            self.emit([Refused(str(error))])
        self._follow_answer(now_s)

    def close(self) -> None:
        """Drop everything."""
        for lane in self.lanes.values():
            lane.job.close()
        self.lanes.clear()
        self._inbox.clear()
        self._todo.clear()
        if self.recorder is not None:
            self.recorder.close()
        self.session = self.playback = None

    def _next(self, now_s: float) -> tuple[ev.Event | SessionConfig, float]:
        """What is to be done next; in front of a chunk of audio what the gate and the clock say."""
        if not self._todo:
            event, arrived_s = self._inbox.popleft()
            events = [event]
            if isinstance(event, ev.AudioChunk):
                self._waiting_chunks -= 1
                self._heard_due_s = self._due.popleft()
                if self.playback and self.playback.begun:
                    events.insert(0, ev.Played(self.playback.heard(now_s)))
                events[-1:] = [*self._gated(event), event]
            self._todo.extend((part, arrived_s) for part in events)
        return self._todo.popleft()

    def _tell_played(self, now_s: float) -> None:
        """The dialogue is told how far the answer was played, every step and at its end."""
        playback = self.playback
        if playback is None or not playback.begun or LISTEN in self.lanes or self._inbox or self._todo:
            return
        heard = playback.heard(now_s)
        step = self.model.rates.chunk_s * playback.output_hz
        if heard > self._told and (heard - self._told >= step or heard == playback.sent):
            self._told = heard
            self._inbox.append((ev.Played(heard), now_s))

    def _gated(self, chunk: ev.AudioChunk) -> list[ev.Event]:
        """What the gate makes of a chunk."""
        was_open = bool(self._gate_state["open"])
        _, self._gate_state = self._gate.step(torch.from_numpy(chunk.samples)[None], self._gate_state)
        is_open = bool(self._gate_state["open"])
        self._chunks += 1
        self.observe("heard_s", self.model.rates.chunk_s)
        if is_open == was_open:
            return []
        change = ev.VadOpened() if is_open else ev.VadClosed()
        self.emit([Gated(is_open, self._chunks * self.model.rates.chunk_s)])
        events: list[ev.Event] = [] if self.config.turns == "manual" else [change]
        if self.config.turns == "vad" and is_open and self.config.interrupt:
            events.insert(0, ev.Interrupt())
        if self.config.turns == "vad" and not is_open:
            events.append(ev.Timeout())
        return events

    def _handling(self, event: ev.Event | SessionConfig) -> Job[list[ev.Action]]:
        if isinstance(event, SessionConfig):
            return self._configuring(event)
        return self.session.handling(event)

    def _configuring(self, config: SessionConfig) -> Job[list[ev.Action]]:
        turns, answers = config.turn_config(self.model.rates), config.answer_config(own_answers(self.model))
        self.session.configure(turns, answers)
        before, self.config = self.config, config
        self._gate = Gate(self._detector, config.gate_config(self.serving.gate))
        system, actions = None, []
        if config.system != before.system:
            system = self.model.system_prompt if config.system is None else config.system
            actions = yield from self.session.handling(ev.SystemPrompt(system))
        if self.recorder is not None:
            self.recorder.configured(turns, answers, system, actions)
        return actions

    def _follow_answer(self, now_s: float) -> None:
        """Drop lanes of an answer that is no more, begin those of one that is."""
        answering = self.session.answering if self.session else None
        for name in (WRITE, SPEAK):
            if name in self.lanes and self.lanes[name].answering is not answering:
                self.lanes.pop(name).job.close()
        if answering is None:
            return
        if SPEAK not in self.lanes and answering.may_speak:
            self._start(SPEAK, Lane(self.session.speaking(), None, answering=answering), now_s)
        if self.session.answering is answering and WRITE not in self.lanes and answering.may_write:
            self._start(WRITE, Lane(self.session.writing(), None, answering=answering), now_s)

    def _start(self, name: str, lane: Lane, now_s: float) -> None:
        self.lanes[name] = lane
        self.deliver(name, None, now_s)

    def _ended(self, name: str, lane: Lane, value: Any, now_s: float) -> None:
        if isinstance(value, SpeechSession):
            self.session = value
            return
        if self.recorder is not None:
            if name == LISTEN and not isinstance(lane.event, SessionConfig):
                self.recorder.handled(lane.event, value)
            elif name != LISTEN:
                self.recorder.worked(name, value)
        if isinstance(lane.event, ev.AudioChunk) and lane.worked:
            self.observe("listen_s", max(0.0, now_s - self._heard_due_s))
        if self.session.answering not in (None, self._answer):
            self._answer, self._told = self.session.answering, 0
            self.playback = Playback(self.model.rates.output_hz, lane.arrived_s)
        for action in value:
            if isinstance(action, ev.PlayAudio) and self.playback:
                if not self.playback.begun:
                    self.observe("first_audio_s", now_s - self.playback.asked_s)
                self.observe("spoken_s", len(action.samples) / self.playback.output_hz)
                self.playback.send(len(action.samples), now_s)
            elif isinstance(action, ev.AnswerEnded) and not self.session.dialogue.answering:
                self.playback = self._answer = None
        if value:
            self.emit(value)
