"""Who is served next: the ready work of all sessions, batched, most urgent first.

Listening comes before speaking. The first audio of an answer comes before more of one that plays already, unless that
one would soon fall silent; of those that play, the one that would fall silent first. Answers that are begun before it
is decided that their turn has ended come last. All operations that fit into the batch of the most urgent one join it.
No thread, no socket; the clock is a parameter.

Listening is only urgent for what a user says now. Audio that came faster than it was spoken waits until it is due, and
long texts (a system prompt, an earlier dialogue) are read in shares: each piece counts as asked for a bit later than
the piece before, and none makes a batch long that others listen by.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.slot import LISTEN, SPEAK, SPOKEN, WRITE, Input, Lane, Output, Slot
from freeze_omni.frontend.vad import Detector, EnergyDetector
from freeze_omni.session.log import Recorder
from freeze_omni.session.ops import Op, Read, execute, group_key
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

Key = Hashable
HEARING, ENDING, FIRST_AUDIO, LATER, EARLY = range(5)
LISTENING_OPS = 6  # of a chunk of audio; a job with more reads a long text again, to make room in the LLM's context
SHARE_S = 0.25  # a piece of a long text counts as asked for this much later than the piece before
READ_AT_ONCE, READ_S = 64, 0.08  # most positions of texts in one batch, fewer where the LLM takes longer for them
LOST_DEVICE: tuple[type[Exception], ...] = (getattr(torch, "AcceleratorError", MemoryError),)
WRITING_S = 0.6  # time for the ten or so LLM tokens of a segment; their speech begins after the last


class Scheduler:
    """The slots of one model.

    emit(key, outputs) takes what came of work, fail(key, reason) that a session has ended by its own fault,
    observe(name, value) what was measured, working(keys) for which sessions the model works from now on.
    """

    def __init__(
        self,
        model: FreezeOmni,
        config: ServingConfig,
        clock: Callable[[], float],
        emit: Callable[[Key, list[Output]], None],
        fail: Callable[[Key, str], None],
        observe: Callable[[str, float], None] = lambda name, value: None,
        detector: Detector | None = None,
        working: Callable[[tuple[Key, ...]], None] = lambda keys: None,
    ) -> None:
        self.model, self.config, self.clock = model, config, clock
        self.slots: dict[Key, Slot] = {}
        self._emit, self._fail, self._observe, self._working = emit, fail, observe, working
        self._alone: set[Key] = set()
        self._position_s = 0.0  # of a text, as the LLM has read lately
        self._detector = detector or EnergyDetector()

    def open(self, key: Key, config: SessionConfig, recorder: Recorder | None = None, alone: bool = False) -> None:
        """A new session; alone: its work joins no batch with that of others. Raises ValueError for a key in use or a
        configuration that the model cannot follow."""
        if key in self.slots:
            raise ValueError(f"session '{key}' is open already")
        emit = partial(self._emit, key)
        self.slots[key] = Slot(self.model, self.config, config, self._detector, emit, self._observe, recorder)
        if alone:
            self._alone.add(key)

    def close(self, key: Key) -> None:
        """Forget a session; an unknown one was closed before."""
        self._alone.discard(key)
        if key in self.slots:
            self.slots.pop(key).close()

    def put(self, key: Key, item: np.ndarray | Input) -> None:
        """Audio (S,), float32 or int16, an event or a SessionConfig; dropped if the session has ended."""
        if key in self.slots:
            self._guard(key, self.slots[key].put, item, self.clock())

    def tick(self) -> bool:
        """Do one batch of work; False if there was none."""
        now_s = self.clock()
        for key, slot in list(self.slots.items()):
            if slot.busy:
                self._guard(key, slot.prepare, now_s)
        ready = [
            (self._urgency(name, lane, slot, now_s), key, name, lane)
            for key, slot in self.slots.items()
            for name, lane in slot.lanes.items()
        ]
        if not ready:
            return False
        ready.sort(key=lambda entry: entry[0])
        # fresh audio waits a moment for others to join while there is other work that is sure to be wanted
        fresh_s = now_s - self.config.gather_ms / 1000
        others = [entry for entry in ready if not entry[3].is_fresh(fresh_s)]
        ready = others if others and others[0][0][0] < EARLY else ready
        self._run(self._batch(ready))
        return True

    def _batch(self, ready: Sequence[tuple[tuple[int, float], Key, str, Lane]]) -> list[tuple[Key, str, Lane]]:
        """What is done next: the first of `ready`, and what can join it."""
        (first, _), first_key, _, lane = ready[0]
        wanted = group_key(lane.op)
        room = 0 if first == HEARING else self._text_room() - positions_read(lane.op)
        batch = [ready[0][1:]]
        for (urgency, _), key, name, lane in ready[1:]:
            alone = key in self._alone or first_key in self._alone
            if len(batch) == self.config.max_batch or alone or group_key(lane.op) != wanted:
                continue
            positions = positions_read(lane.op)
            if urgency != HEARING and positions > 1:  # a piece of a text
                if positions > room:
                    continue
                room -= positions
            batch.append((key, name, lane))
        return batch

    def _text_room(self) -> int:
        """Positions of texts that a batch may read while others wait for it."""
        return READ_AT_ONCE if not self._position_s else min(READ_AT_ONCE, int(READ_S / self._position_s))

    def _urgency(self, name: str, lane: Lane, slot: Slot, now_s: float) -> tuple[int, float]:
        if name == LISTEN:
            spoken = isinstance(lane.event, SPOKEN) and lane.ops <= LISTENING_OPS
            if spoken and lane.due_s <= now_s:
                return HEARING, lane.arrived_s
            return FIRST_AUDIO, lane.due_s if spoken else lane.arrived_s + lane.ops * SHARE_S
        if slot.session is not None and slot.session.answering is None:
            return EARLY, lane.arrived_s
        playback = slot.playback
        if playback is None or not playback.sent:
            return FIRST_AUDIO, 0.0 if playback is None else playback.asked_s
        # text is heard once it is spoken: writing is not urgent while there is text left, and early without
        ahead_s = 0.0 if name == SPEAK else 1.0 if SPEAK in slot.lanes else -WRITING_S
        silent_s = playback.runs_out_s(now_s) + ahead_s
        return (ENDING if silent_s < now_s + self.config.ending_ms / 1000 else LATER), silent_s

    def _run(self, batch: Sequence[tuple[Key, str, Lane]]) -> None:
        begin_s = self.clock()
        ops = [lane.op for _, _, lane in batch]
        self._working(tuple({key: None for key, _, _ in batch}))
        for _, name, lane in batch:
            self._observe(f"queue_{name}_s", begin_s - lane.ready_s)
        results = self._execute(ops)
        now_s = self.clock()
        self._observe("worked_s", now_s - begin_s)
        self._observe("batch_rows", len(ops))
        self._learn_speed(sum(map(positions_read, ops)), now_s - begin_s)
        for (key, name, lane), result in zip(batch, results, strict=True):
            slot = self.slots.get(key)
            if slot is None or slot.lanes.get(name) is not lane:
                continue  # another lane of the same session has ended this one
            if isinstance(result, Exception):
                self._end(key, result)
            else:
                if name == WRITE:
                    self._observe("llm_token_s", now_s - begin_s)
                self._guard(key, slot.deliver, name, result, now_s)

    def _learn_speed(self, positions: int, took_s: float) -> None:
        """From batches that read texts: in others the weights are read for a few positions alone."""
        if positions >= READ_AT_ONCE // 8:
            took_s /= positions
            self._position_s = took_s if not self._position_s else 0.75 * self._position_s + 0.25 * took_s

    def _execute(self, ops: list[Op]) -> list[Any]:
        """Results; if a batch fails, each alone, so that a fault ends its own session only. Raises what a device says
        that cannot be used any more."""
        try:
            return execute(self.model, ops)
        except LOST_DEVICE:
            raise
        except Exception as error:
            if len(ops) == 1:
                return [error]
            logging.exception("a batch of %d failed; trying each alone", len(ops))
            return [self._execute([op])[0] for op in ops]

    def _guard(self, key: Key, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # only that session is at fault
            self._end(key, error)

    def _end(self, key: Key, error: Exception) -> None:
        logging.warning("session %s ends: %s: %s", key, type(error).__name__, error)
        self.close(key)
        self._fail(key, str(error) or type(error).__name__)


def positions_read(op: Op | None) -> int:
    """What an operation has the LLM read."""
    return len(op.embeds) if isinstance(op, Read) else 0
