"""A worker: a process (or thread) with one model and all its sessions. It talks to the front through one pipe."""

import logging
import signal
import sys
import time
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freeze_omni.engine.capacity import Cost, capacity
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.metrics import Measures, Report
from freeze_omni.engine.scheduler import Scheduler
from freeze_omni.engine.slot import Input, Output
from freeze_omni.frontend.vad import Detector, EnergyDetector
from freeze_omni.rates import Rates
from freeze_omni.session.events import Value
from freeze_omni.session.log import Recorder, new_log
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

REPORT_S = 1.0
REST_S = 0.02
MESSAGES_AT_ONCE = 500


class Open(Value):
    """Begin a session. alone: no batch has its work together with that of others."""

    key: Hashable
    config: SessionConfig
    alone: bool = False


class Put(Value):
    """int16 audio (S,) at the input rate, an event, or another configuration."""

    key: Hashable
    item: np.ndarray | Input


class Close(Value):
    key: Hashable  # of the session to end


class Stop(Value):
    """End the worker."""


class Ready(Value):
    """The model is loaded. limit: sessions that are served in real time."""

    limit: int
    rates: Rates
    facts: dict[str, Any]


class Unusable(Value):
    reason: str  # why the model cannot be loaded


class Did(Value):
    key: Hashable
    outputs: list[Output]  # what the session did


class Working(Value):
    keys: tuple[Hashable, ...]  # of the sessions for which the model works from now on


class Failed(Value):
    key: Hashable
    reason: str  # why the session has ended by its own fault


class Measured(Value):
    report: Report  # of the worker as a whole


@dataclass(frozen=True)
class WorkerConfig:
    """device: torch's name. threads: torch's; 0 as found. record: a folder for session logs, for replay. llm_gguf: as
    `gguf` of `pack.load`."""

    folder: Path
    serving: ServingConfig = field(default_factory=ServingConfig)
    device: str = "cpu"
    threads: int = 0
    record: Path | None = None
    llm_gguf: Path | None = None


def threads_each(threads: int, workers: int) -> int:
    """Torch's threads of each of several workers on one machine: as asked, or a share of those found, as programs that
    each take all the cores slow each other down many times."""
    return threads if threads or workers == 1 else max(1, torch.get_num_threads() // workers)


class Worker:
    """Runs a scheduler until Stop, or until the other end of the pipe is gone.

    ticked_s: when it last began a round of work, by time.monotonic; None before the first.
    """

    def __init__(self, model: FreezeOmni, config: ServingConfig, pipe: Connection, record: Path | None = None) -> None:
        self._pipe, self._record, self._limit = pipe, record, config.max_sessions
        self._model, self._config = model, config
        self.ticked_s: float | None = None
        self._measures = Measures(time.monotonic)
        self._scheduler = Scheduler(
            model,
            config,
            time.monotonic,
            lambda key, outputs: pipe.send(Did(key, outputs)),
            lambda key, reason: pipe.send(Failed(key, reason)),
            self._measures.observe,
            detector(config.vad),
            lambda keys: pipe.send(Working(keys)),
        )

    def run(self) -> None:
        try:
            self._greet()
            reported_s, scheduler = 0.0, self._scheduler
            self.ticked_s = time.monotonic()
            while self._take(worked=scheduler.tick()):
                self.ticked_s = time.monotonic()
                if time.monotonic() - reported_s >= REPORT_S:
                    reported_s = time.monotonic()
                    waiting = sum(slot.waiting_chunks for slot in scheduler.slots.values())
                    report = self._measures.report(len(scheduler.slots), waiting, self._limit)
                    self._pipe.send(Measured(report))
        except (EOFError, ConnectionError):
            logging.info("the front is gone")
        finally:
            self._pipe.close()

    def _greet(self) -> None:
        measured: dict[int, Cost] = {}
        if not self._limit:
            self._limit, measured = capacity(self._model, self._config.load, self._config.late_ms / 1000)
        self._limit = min(self._limit, self._model.llm.most_dialogues)
        facts = {
            "system_prompt": self._model.system_prompt,
            "longest_answer": min(4096, self._model.llm.context_positions // 4),
            "measured": {number: vars(found) for number, found in measured.items()},
        }
        self._pipe.send(Ready(self._limit, self._model.rates, facts))

    def _take(self, worked: bool) -> bool:
        """Follow messages, not so many that the model waits; without work, wait for one. False to stop."""
        rest_s = 0.0 if worked else REST_S if self._scheduler.slots else REPORT_S
        for _ in range(MESSAGES_AT_ONCE):
            if not self._pipe.poll(rest_s):
                break
            rest_s = 0.0
            message = self._pipe.recv()
            if isinstance(message, Stop):
                return False
            self._follow(message)
        return True

    def _follow(self, message: Any) -> None:
        """A fault is that of the message's session, which ends; the worker and the others go on."""
        try:
            match message:
                case Open(key, config, alone):
                    self._scheduler.open(key, config, self._recorder(key, config), alone)
                case Put(key, item):
                    self._scheduler.put(key, item)
                case Close(key):
                    self._scheduler.close(key)
                case _:
                    logging.error("not a message to a worker: %s", type(message).__name__)
        except ConnectionError:  # the front is gone
            raise
        except Exception as error:
            logging.exception("session %s ends by a fault", message.key)
            self._scheduler.close(message.key)
            self._pipe.send(Failed(message.key, str(error) or type(error).__name__))

    def _recorder(self, key: object, config: SessionConfig) -> Recorder | None:
        """None too if its file cannot be made: a full disk ends no dialogue."""
        if self._record is None:
            return None
        try:
            return Recorder(new_log(self._record, str(key)), replace(config, gated=True))
        except OSError as error:
            logging.error("session %s is not recorded: %s", key, error)
            return None


def detector(vad: str) -> Detector:
    """`energy`, or Silero's from a file. Raises ValueError and FileNotFoundError for another file."""
    if vad == "energy":
        return EnergyDetector()
    from freeze_omni.frontend.silero import SileroDetector

    return SileroDetector.load(vad)


def load_worker(config: WorkerConfig, pipe: Connection) -> Worker | None:
    """A worker of its own process; None if the model cannot be loaded, which the front is told."""
    from freeze_omni.pack import LOAD_ERRORS, load, load_fault

    try:
        if config.threads:
            torch.set_num_threads(config.threads)
        model = load(config.folder, config.device, gguf=config.llm_gguf)
        return Worker(model, config.serving, pipe, config.record)
    except LOAD_ERRORS as error:
        pipe.send(Unusable(load_fault(config.folder, error)))
        return None


def run_worker(config: WorkerConfig, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front decides when to stop
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s worker: %(message)s")
    if worker := load_worker(config, pipe):
        worker.run()
