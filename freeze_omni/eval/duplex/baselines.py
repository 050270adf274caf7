"""Baselines of turn taking: the same session, whose turns end by a detector of speech, or by smart-turn after it."""

from collections.abc import Callable

import numpy as np

from freeze_omni.eval.duplex.gated import GatedSession, best_detector
from freeze_omni.eval.quality import weights_folder
from freeze_omni.frontend.smart_turn import RATE_HZ, WINDOW_S, SmartTurn
from freeze_omni.frontend.vad import Detector, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.session import SpeechSession

SMART_TURN = ("smart_turn", "FREEZE_OMNI_SMART_TURN_DIR", "smart-turn-v3.2-cpu.onnx")

# as pipecat uses it: it is asked after this silence; this long one ends a turn, whatever it says; sound before speech
ASK_MS, LONGEST_MS, BEFORE_MS = 200, 3000, 500
OVER = 0.5

Baseline = Callable[[SpeechSession], GatedSession]


def baseline(name: str) -> tuple[str, Baseline] | None:
    """What it is made of, and how a session becomes it; None: its weights are not here. name: of BASELINES."""
    detected_by, detector = best_detector()
    if name == "vad":
        return detected_by, lambda one: GatedSession(one, detector, GateConfig(close_ms=one.config.silence_ms))
    folder = weights_folder(SMART_TURN)
    if folder is None:
        return None
    model = SmartTurn(folder / SMART_TURN[2])
    return f"smart-turn, {detected_by}", lambda session: BySmartTurn(session, detector, model.over)


class BySmartTurn(GatedSession):
    """A short silence ends a turn if `over`, the probability by its sound (S,), says so; else a long one does."""

    def __init__(self, session: SpeechSession, detector: Detector, over: Callable[[np.ndarray], float]) -> None:
        super().__init__(session, detector, GateConfig(close_ms=ASK_MS))
        self._over = over
        self._turn = np.zeros(0, np.float32)
        self._silent_ms: float | None = None  # since a silence that did not end the turn

    def gated(self, chunk: ev.AudioChunk) -> ev.VadOpened | ev.VadClosed | None:
        event, samples = super().gated(chunk), chunk.samples
        self._turn = np.concatenate([self._turn, samples])[-WINDOW_S * RATE_HZ :]
        if isinstance(event, ev.VadOpened):
            goes_on, self._silent_ms = self._silent_ms is not None, None
            if goes_on:
                return None
            self._turn = self._turn[-(BEFORE_MS * RATE_HZ // 1000 + len(samples)) :]
        elif isinstance(event, ev.VadClosed) and self._over(self._turn) <= OVER:
            self._silent_ms = float(ASK_MS)
            return None
        elif event is None and self._silent_ms is not None:
            self._silent_ms += 1000 * len(samples) / RATE_HZ
            if self._silent_ms >= LONGEST_MS:
                self._silent_ms = None
                return ev.VadClosed()
        return event
