"""What front and worker say to each other: plain values over a pipe."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from freeze_omni.rates import Rates
from freeze_omni.engine.config import SessionConfig
from freeze_omni.engine.metrics import Report
from freeze_omni.engine.slot import Output
from freeze_omni.session import events as ev


@dataclass(frozen=True)
class Open:
    key: Hashable
    config: SessionConfig


@dataclass(frozen=True)
class Put:
    """int16 audio (S,) at the input rate, an event, or other choices."""

    key: Hashable
    item: np.ndarray | ev.Event | SessionConfig


@dataclass(frozen=True)
class Close:
    key: Hashable


@dataclass(frozen=True)
class Stop:
    """End the worker."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded; so many sessions are served in real time."""

    limit: int
    rates: Rates
    facts: dict[str, Any]


@dataclass(frozen=True)
class Unusable:
    """The model cannot be loaded."""

    reason: str


@dataclass(frozen=True)
class Did:
    key: Hashable
    outputs: list[Output]


@dataclass(frozen=True)
class Failed:
    """A session has ended by a fault of its own."""

    key: Hashable
    reason: str


@dataclass(frozen=True)
class Measured:
    report: Report
