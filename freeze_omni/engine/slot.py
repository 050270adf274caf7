"""A slot: one user's session in the engine, the audio and events that wait for it, and the model work that it needs.

Three lanes ask for work independently: `listen` (events, in order), `write` and `speak` (the answer). A slot neither
runs the model nor reads a clock; the scheduler does both.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.played import PlayedLine
from freeze_omni.frontend.vad import Detector, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.answer import Answer
from freeze_omni.session.draft import Draft
from freeze_omni.session.gate import VoiceGate
from freeze_omni.session.log import Recorder
from freeze_omni.session.ops import Job, Op
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import Chunker, SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni


class Reply(ev.Value):
    """An event that asks for an answer by another configuration: if that is refused, so is the event."""

    config: SessionConfig
    event: ev.Event


class Refused(ev.Value):
    """An event or a configuration that cannot be followed, and why; the session goes on."""

    reason: str
    refused: ev.Event | SessionConfig | Reply | None = None


class Configured(ev.Value):
    config: SessionConfig  # that the session follows from now on


class Counted(ev.Value):
    """Of the answer that ends: LLM positions read before it, of them before its turn; LLM tokens and speech tokens."""

    read: int
    cached: int
    wrote: int
    spoke: int


class Gated(ev.Value):
    """The gate has opened or closed in the chunk that ended `time_s` after the session's start."""

    is_open: bool
    time_s: float


Input = ev.Event | SessionConfig | Reply
Output = ev.Action | Gated | Refused | Configured | Counted
SPOKEN = (ev.AudioChunk, ev.VadOpened, ev.VadClosed)
"""What comes of the user's voice."""
AHEAD_S = 0.5
LISTEN, WRITE, SPEAK = "listen", "write", "speak"


class Overrun(RuntimeError):
    """A session with more audio or events waiting than it may have."""


@dataclass
class Lane:
    """A job under way, the operation it waits for, the event it is for, or the answer or draft of one.

    due_s: when the event came, or would have come if its audio had not been sent faster than it was spoken.
    ready_s: when `op` was asked for.
    ops: that it has asked for so far, the present one included.
    """

    job: Job[Any]
    op: Op | None
    event: Input | None = None
    arrived_s: float = 0.0
    made: Answer | Draft | None = None
    due_s: float = 0.0
    ready_s: float = 0.0
    ops: int = 0

    def is_fresh(self, since_s: float) -> bool:
        return isinstance(self.event, ev.AudioChunk) and self.arrived_s > since_s


@dataclass
class Playback:
    """How much of an answer its user has heard: a client plays what it is sent, as it comes.

    Times are the scheduler's seconds. ends_s: when all that was sent so far has been played, as if no pause were on.
    sent, reported: samples. paused_s: since when the client waits.
    """

    answering: Answer
    output_hz: int
    asked_s: float
    sent: int = 0
    ends_s: float = 0.0
    reported: int = 0
    paused_s: float | None = None

    def send(self, samples: int, now_s: float) -> None:
        self.ends_s = self.starts_s(now_s) + samples / self.output_hz
        self.sent += samples

    def starts_s(self, now_s: float) -> float:
        """When what is sent now would be played."""
        return max(self.ends_s, self._played_at_s(now_s))

    def runs_out_s(self, now_s: float) -> float:
        """When all that was sent has been played, if a pause ends now."""
        return self.ends_s + now_s - self._played_at_s(now_s)

    def heard(self, now_s: float) -> int:
        left = max(0.0, self.ends_s - self._played_at_s(now_s)) * self.output_hz
        return max(0, self.sent - int(-(-left // 1)))

    def pause(self, now_s: float) -> None:
        self.paused_s = now_s

    def resume(self, now_s: float) -> None:
        self.ends_s = self.runs_out_s(now_s)
        self.paused_s = None

    def _played_at_s(self, now_s: float) -> float:
        return now_s if self.paused_s is None else self.paused_s


class Slot:
    """A session. `emit` is given the outputs of each piece of work, `observe` measurements in seconds.

    They are first_audio_s, heard_s, spoken_s and listen_s: of chunks that the model heard, from arrival to end. Audio
    more than AHEAD_S ahead of real time counts from when it is due, as a flood must not get others refused. And counts
    of answers and their tokens.
    """

    def __init__(
        self,
        model: FreezeOmni,
        serving: ServingConfig,
        config: SessionConfig,
        detector: Detector,
        emit: Callable[[list[Output]], None],
        observe: Callable[[str, float], None] = lambda name, value: None,
        recorder: Recorder | None = None,
    ) -> None:
        """Raises ValueError for a configuration that the model cannot follow."""
        self.model, self.serving, self.config, self.emit = model, serving, replace(config, gated=True), emit
        self.observe, self.recorder = observe, recorder
        self.session: SpeechSession | None = None
        self.playback: Playback | None = None
        self.lanes: dict[str, Lane] = {}
        self.waiting_chunks = 0
        self._inbox: deque[tuple[Input, float]] = deque()
        self._todo: deque[tuple[ev.Event | SessionConfig, float]] = deque()
        self._due: deque[float] = deque()
        self._paced_s, self._heard_due_s, self._chunks = float("-inf"), 0.0, 0
        self._chunker = Chunker(model.rates.chunk_samples)
        self._gate = VoiceGate(detector, self._gate_config())
        self._played = PlayedLine(model.rates.output_hz, model.rates.input_hz)
        self._drafts = 0
        self._begin = SpeechSession.beginning(model, self.config)

    # what comes in

    def put(self, item: np.ndarray | Input, now_s: float) -> None:
        """User audio (S,) at the input rate, float32 or int16; after what waits already, an event or a configuration.

        Raises Overrun, and ValueError for audio of another shape or with impossible values.
        """
        if isinstance(item, ev.Event | SessionConfig | Reply):
            if len(self._inbox) - self.waiting_chunks >= self.serving.max_waiting_events:
                raise Overrun(f"{self.serving.max_waiting_events} events wait to be followed: send fewer")
            if isinstance(item, ev.Clear):
                self._forget_audio()
            self._inbox.append((item, now_s))
            return
        chunks = self._chunker(item / np.float32(32768) if item.dtype == np.int16 else item)
        for later, chunk in zip(range(len(chunks) - 1, -1, -1), chunks, strict=True):
            if self.waiting_chunks >= self.serving.max_waiting_chunks:
                raise Overrun(f"{self.waiting_chunks} chunks of audio wait to be heard: send less at once")
            self.waiting_chunks += 1
            self._paced_s = max(now_s, self._paced_s + self.model.rates.chunk_s)
            self._due.append(max(now_s, self._paced_s - AHEAD_S))
            played = self._with_played(chunk, now_s - later * self.model.rates.chunk_s)
            self._inbox.append((played, now_s))

    def _forget_audio(self) -> None:
        """What was not heard yet is not heard any more; its time passes all the same."""
        self._chunker.clear()
        self._chunks += self.waiting_chunks
        self._inbox = deque(entry for entry in self._inbox if not isinstance(entry[0], ev.AudioChunk))
        self.waiting_chunks = 0
        self._due.clear()

    @property
    def busy(self) -> bool:
        return bool(self._inbox or self._todo or self.lanes or self.session is None or self.playback)

    # what is to be done

    def prepare(self, now_s: float) -> None:
        """Begin what can begin: afterwards each lane is empty or waits for its operation."""
        if self.session is None and LISTEN not in self.lanes:
            self._start(LISTEN, Lane(self._begin, None, arrived_s=now_s), now_s)
        self._report_played(now_s)
        while self.session is not None and LISTEN not in self.lanes and (self._todo or self._inbox):
            item, arrived_s = self._next(now_s)
            job = self._configuring(item) if isinstance(item, SessionConfig) else self.session.handling(item)
            due_s = self._heard_due_s if isinstance(item, SPOKEN) else arrived_s
            self._start(LISTEN, Lane(job, None, item, arrived_s, due_s=due_s), now_s)
        self._follow_answer(now_s)

    def deliver(self, name: str, result: Any, now_s: float) -> None:
        """Give a lane the result of its operation; it goes on to its next one, or ends."""
        lane = self.lanes[name]
        try:
            lane.op, lane.ready_s = lane.job.send(result), now_s
            lane.ops += 1
            return
        except StopIteration as end:
            del self.lanes[name]
            self._ended(name, lane, end.value, now_s)
        except ValueError as error:
            del self.lanes[name]
            if name != LISTEN or self.session is None:
                raise
            if isinstance(lane.event, SessionConfig):
                self._todo.clear()  # the event of a Reply
            self.emit([Refused(str(error), lane.event)])
        self._follow_answer(now_s)

    def close(self) -> None:
        for lane in self.lanes.values():
            lane.job.close()
        self.lanes.clear()
        self._inbox.clear()
        self._todo.clear()
        if self.recorder is not None:
            self.recorder.close()
        self.session = self.playback = None

    def _next(self, now_s: float) -> tuple[ev.Event | SessionConfig, float]:
        """What is to be done next; before a chunk of audio what playback and gate say."""
        if not self._todo:
            item, arrived_s = self._inbox.popleft()
            items: list[ev.Event | SessionConfig] = [item.config, item.event] if isinstance(item, Reply) else [item]
            if isinstance(item, ev.AudioChunk):
                self.waiting_chunks -= 1
                self._heard_due_s = self._due.popleft()
                items = [*self._gated(item), item]
                if self.playback and self.playback.sent:
                    items.insert(0, ev.Played(self.playback.heard(now_s)))
            self._todo.extend((part, arrived_s) for part in items)
        return self._todo.popleft()

    def _with_played(self, chunk: ev.AudioChunk, end_s: float) -> ev.AudioChunk:
        """With what the user's device played up to the end of the chunk, for a model that reads it."""
        if self.model.reference is None:
            return chunk
        return replace(chunk, played=self._played.before(end_s, len(chunk.samples)))

    def _report_played(self, now_s: float) -> None:
        """Pass on how far the answer was played, every step and at its end."""
        playback = self.playback
        if playback is None or not playback.sent or LISTEN in self.lanes or self._inbox or self._todo:
            return
        heard = playback.heard(now_s)
        step = self.model.rates.chunk_s * playback.output_hz
        if heard > playback.reported and (heard - playback.reported >= step or heard == playback.sent):
            playback.reported = heard
            self._inbox.append((ev.Played(heard), now_s))

    def _gated(self, chunk: ev.AudioChunk) -> list[ev.Event]:
        change = self._gate(chunk)
        self._chunks += 1
        self.observe("heard_s", self.model.rates.chunk_s)
        if change is None:
            return []
        self.emit([Gated(isinstance(change, ev.VadOpened), self._chunks * self.model.rates.chunk_s)])
        return [change]

    def _gate_config(self) -> GateConfig:
        """The engine's gate with what the user chose of it."""
        config, own = self.config, self.serving.gate
        close_ms = config.silence_ms if config.turn_detection is TurnDetection.VAD else own.close_ms
        close_below = min(own.close_below, config.open_above)
        return replace(own, open_above=config.open_above, close_below=close_below, close_ms=close_ms)

    def _configuring(self, config: SessionConfig) -> Job[list[ev.Action]]:
        gated = replace(config, gated=True)
        actions = yield from self.session.configuring(gated)
        self.config = gated
        self._gate.configure(self._gate_config())
        if self.recorder is not None:
            self.recorder.configured(gated, actions)
        self.emit([Configured(config)])
        return actions

    def _follow_answer(self, now_s: float) -> None:
        """Drop lanes of an answer or a draft that was stopped, begin those of the present one."""
        made = self.session.under_way if self.session else None
        for name in (WRITE, SPEAK):
            if name in self.lanes and self.lanes[name].made is not made:
                self.lanes.pop(name).job.close()
        for name in (SPEAK, WRITE):
            if self.session is not None and name not in self.lanes and self.session.may(name):
                lane = Lane(self.session.making(name), None, made=self.session.under_way, arrived_s=now_s)
                self._start(name, lane, now_s)

    def _start(self, name: str, lane: Lane, now_s: float) -> None:
        self.lanes[name] = lane
        self.deliver(name, None, now_s)

    def _ended(self, name: str, lane: Lane, value: Any, now_s: float) -> None:
        """A job is over; `value` is what it returned."""
        if isinstance(value, SpeechSession):
            self.session = value
            return
        if self.recorder is not None and not isinstance(lane.event, SessionConfig | Reply):
            self.recorder.handled(lane.event, value) if name == LISTEN else self.recorder.worked(name, value)
        if isinstance(lane.event, ev.AudioChunk) and lane.ops:
            self.observe("listen_s", max(0.0, now_s - self._heard_due_s))
        if self.session.drafts > self._drafts:
            self.observe("drafts", self.session.drafts - self._drafts)
            self._drafts = self.session.drafts
        answering = self.session.answering
        if answering is not None and (self.playback is None or self.playback.answering is not answering):
            self.playback = Playback(answering, self.model.rates.output_hz, lane.arrived_s)
        for action in value:
            if isinstance(action, ev.PlayAudio) and self.playback:
                if not self.playback.sent:
                    self.observe("first_audio_s", now_s - self.playback.asked_s)
                self.observe("spoken_s", len(action.samples) / self.playback.output_hz)
                if self.model.reference is not None:
                    self._played.play(action.samples, self.playback.starts_s(now_s))
                self.playback.send(len(action.samples), now_s)
            elif isinstance(action, ev.StopAudio):
                self._played.stop(now_s)
            elif isinstance(action, ev.PauseAudio) and self.playback:
                self._played.pause(now_s)
                self.playback.pause(now_s)
            elif isinstance(action, ev.ResumeAudio) and self.playback:
                self._played.resume(now_s)
                self.playback.resume(now_s)
            elif isinstance(action, ev.AnswerEnded) and not self.session.state.answering:
                self.playback = None
        if any(isinstance(action, ev.AnswerKept) for action in value):
            counted = Counted(*self.session.counts)
            for name, count in (("answers", 1), ("llm_tokens", counted.wrote), ("speech_tokens", counted.spoke)):
                self.observe(name, count)
            self.emit([counted])
        if value:
            self.emit(value)
