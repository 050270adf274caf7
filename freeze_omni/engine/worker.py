"""A worker: a process (or thread) with one model and all its sessions. It talks to the front through one pipe."""

from __future__ import annotations

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
from freeze_omni.session.log import Recorder
from freeze_omni.session.session import SessionConfig
from freeze_omni.system import FreezeOmni

REPORT_S = 1.0
REST_S = 0.02


class Open(Value):
    """Begin a session."""

    key: Hashable
    config: SessionConfig


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


class Failed(Value):
    key: Hashable
    reason: str  # why the session has ended by its own fault


class Measured(Value):
    report: Report  # of the worker as a whole


@dataclass(frozen=True)
class WorkerConfig:
    """device: torch's name. threads: torch's; 0 as found. record: a folder for session logs, for replay."""

    folder: Path
    serving: ServingConfig = field(default_factory=ServingConfig)
    device: str = "cpu"
    threads: int = 0
    record: Path | None = None


def threads_each(threads: int, workers: int) -> int:
    """Torch's threads of each of several workers on one machine: as asked, or a share of those found, as programs that
    each take all the cores slow each other down many times."""
    return threads if threads or workers == 1 else max(1, torch.get_num_threads() // workers)


class Worker:
    """Runs a scheduler until Stop, or until the other end of the pipe is gone."""

    def __init__(self, model: FreezeOmni, config: ServingConfig, pipe: Connection, record: Path | None = None) -> None:
        self._pipe, self._record, self._limit = pipe, record, config.max_sessions
        self._model, self._config = model, config
        self._measures = Measures(time.monotonic)
        self._scheduler = Scheduler(
            model,
            config,
            time.monotonic,
            lambda key, outputs: pipe.send(Did(key, outputs)),
            lambda key, reason: pipe.send(Failed(key, reason)),
            self._measures.observe,
            detector(config.vad),
        )

    def run(self) -> None:
        try:
            self._greet()
            reported_s, scheduler = 0.0, self._scheduler
            while self._take(worked=scheduler.tick()):
                if time.monotonic() - reported_s >= REPORT_S:
                    reported_s = time.monotonic()
                    waiting = sum(slot.waiting_chunks for slot in scheduler.slots.values())
                    report = self._measures.report(len(scheduler.slots), waiting, self._limit)
                    self._pipe.send(Measured(report))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            logging.info("the front is gone")
        finally:
            self._pipe.close()

    def _greet(self) -> None:
        measured: dict[int, Cost] = {}
        if not self._limit:
            self._limit, measured = capacity(self._model, self._config.load, self._config.late_ms / 1000)
        facts = {
            "system_prompt": self._model.system_prompt,
            "longest_answer": min(4096, self._model.llm.context_positions // 4),
            "measured": {number: vars(found) for number, found in measured.items()},
        }
        self._pipe.send(Ready(self._limit, self._model.rates, facts))

    def _take(self, worked: bool) -> bool:
        """Follow all messages; without work, wait for one. False to stop."""
        rest_s = 0.0 if worked else REST_S if self._scheduler.slots else REPORT_S
        while self._pipe.poll(rest_s):
            rest_s = 0.0
            match self._pipe.recv():
                case Open(key, config):
                    try:
                        self._scheduler.open(key, config, self._recorder(key, config))
                    except ValueError as error:
                        self._pipe.send(Failed(key, str(error)))
                case Put(key, item):
                    self._scheduler.put(key, item)
                case Close(key):
                    self._scheduler.close(key)
                case Stop():
                    return False
                case message:
                    raise TypeError(f"not a message to a worker: {type(message).__name__}")
        return True

    def _recorder(self, key: object, config: SessionConfig) -> Recorder | None:
        if self._record is None:
            return None
        self._record.mkdir(parents=True, exist_ok=True)
        return Recorder((self._record / f"{key}.jsonl").open("w", encoding="utf-8"), replace(config, gated=True))


def detector(vad: str) -> Detector:
    """`energy`, or Silero's from a file. Raises ValueError and FileNotFoundError for another file."""
    if vad == "energy":
        return EnergyDetector()
    from freeze_omni.frontend.silero import SileroDetector

    return SileroDetector.load(vad)


def run_worker(config: WorkerConfig, pipe: Connection) -> None:
    """The main function of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front decides when to stop
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s worker: %(message)s")
    from freeze_omni.pack import LOAD_ERRORS, load, load_fault

    try:
        if config.threads:
            torch.set_num_threads(config.threads)
        model = load(config.folder, config.device)
        worker = Worker(model, config.serving, pipe, config.record)
    except LOAD_ERRORS as error:
        pipe.send(Unusable(load_fault(config.folder, error)))
        return
    worker.run()
