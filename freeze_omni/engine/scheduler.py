"""Who is served next: the ready work of all sessions, batched, most urgent first.

Listening comes before speaking. The first audio of an answer comes before more of one that plays already, unless that
one would soon fall silent; of those that play, the one that would fall silent first. All operations that fit into the
batch of the most urgent one join it. No thread, no socket; the clock is a parameter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.slot import LISTEN, SPEAK, Input, Lane, Output, Slot
from freeze_omni.frontend.vad import Detector, EnergyDetector
from freeze_omni.session.log import Recorder
from freeze_omni.session.ops import Op, execute, group_key
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

Key = Hashable
HEARING, ENDING, FIRST_AUDIO, LATER = range(4)
WRITING_S = 0.6  # time for the ten or so LLM tokens of a segment; their speech begins after the last


class Scheduler:
    """The slots of one model.

    emit(key, outputs) takes what came of work, fail(key, reason) that a session has ended by its own fault,
    observe(name, value) what was measured.
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
    ) -> None:
        self.model, self.config, self.clock = model, config, clock
        self.slots: dict[Key, Slot] = {}
        self._emit, self._fail, self._observe = emit, fail, observe
        self._detector = detector or EnergyDetector()

    def open(self, key: Key, config: SessionConfig, recorder: Recorder | None = None) -> None:
        """A new session. Raises ValueError for a key in use or a configuration that the model cannot follow."""
        if key in self.slots:
            raise ValueError(f"session '{key}' is open already")
        emit = partial(self._emit, key)
        self.slots[key] = Slot(self.model, self.config, config, self._detector, emit, self._observe, recorder)

    def close(self, key: Key) -> None:
        """Forget a session; an unknown one was closed before."""
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
        # fresh audio waits a moment for others to join while there is other work
        fresh_s = now_s - self.config.gather_ms / 1000
        ready = [entry for entry in ready if not entry[3].is_fresh(fresh_s)] or ready
        wanted = group_key(ready[0][3].op)
        self._run([entry[1:] for entry in ready if group_key(entry[3].op) == wanted][: self.config.max_batch])
        return True

    def _urgency(self, name: str, lane: Lane, slot: Slot, now_s: float) -> tuple[int, float]:
        if name == LISTEN:
            return HEARING, lane.arrived_s
        playback = slot.playback
        if playback is None or not playback.sent:
            return FIRST_AUDIO, 0.0 if playback is None else playback.asked_s
        # text is heard once it is spoken: writing is not urgent while there is text left, and early without
        ahead_s = 0.0 if name == SPEAK else 1.0 if SPEAK in slot.lanes else -WRITING_S
        silent_s = playback.ends_s + ahead_s
        return (ENDING if silent_s < now_s + self.config.ending_ms / 1000 else LATER), silent_s

    def _run(self, batch: Sequence[tuple[Key, str, Lane]]) -> None:
        begin_s = self.clock()
        ops = [lane.op for _, _, lane in batch]
        results = self._execute(ops)
        now_s = self.clock()
        self._observe("worked_s", now_s - begin_s)
        self._observe("batch_rows", len(ops))
        for (key, name, lane), result in zip(batch, results, strict=True):
            slot = self.slots.get(key)
            if slot is None or slot.lanes.get(name) is not lane:
                continue  # another lane of the same session has ended this one
            if isinstance(result, Exception):
                self._end(key, result)
            else:
                self._guard(key, slot.deliver, name, result, now_s)

    def _execute(self, ops: list[Op]) -> list[Any]:
        """Results; if a batch fails, each alone, so that a fault ends its own session only."""
        try:
            return execute(self.model, ops)
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
