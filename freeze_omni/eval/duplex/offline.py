"""Play a scene to a session, closed loop, on a clock that does not wait: what comes depends on what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.eval.duplex.hearing import Hearing, resampled
from freeze_omni.eval.duplex.outputs import write_output
from freeze_omni.eval.question import VirtualClock
from freeze_omni.eval.suites.in_time import Listener, TimeLine, follow
from freeze_omni.rates import Rates
from freeze_omni.session import events as ev


def play_offline(session: Listener, rates: Rates, hearing: Hearing, folder: Path, pace: float = 1.0) -> TimeLine:
    """The whole scene, and its folder of outputs. hearing: at the session's input rate. pace: of the clock."""

    def piece(at: int, size: int, line: TimeLine) -> np.ndarray:
        return hearing.piece(at, size, line.starts_s, resampled(line.wav, line.hz, hearing.hz))

    line = follow(session, rates, len(hearing), piece, VirtualClock(pace))
    events = list(as_events(line.actions))
    write_output(folder, hearing.scene, (hearing.heard, hearing.hz), (line.wav, line.hz), events)
    return line


def as_events(actions: Iterable[tuple[float, ev.Action]]) -> Iterator[dict[str, Any]]:
    """What a session did, as output.json has it."""
    silent, text = False, ""
    for time_s, action in actions:
        at = {"time_s": round(time_s, 3)}
        match action:
            case ev.StateDecision(state=state) if state != ev.LISTEN_ON:
                yield at | {"event": "state", "state": state}
            case ev.AnswerBegun(number=number):
                silent, text = True, ""
                yield at | {"event": "answer", "number": number}
            case ev.TextDelta(text=more):
                text += more
            case ev.PlayAudio() if silent:
                silent = False
                yield at | {"event": "speaks"}
            case ev.StopAudio():
                yield at | {"event": "stops"}
            case ev.AnswerEnded(reason=reason):
                yield at | {"event": "ended", "reason": reason, "text": " ".join(text.split())}
